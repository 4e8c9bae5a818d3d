// Server-sent events, with what the browser's own EventSource does not do: say that the
// connection is lost, and find out whether that is because the login ended.
import { api } from './api';
import { clock } from './clock.svelte';

export class Feed<T extends { at: number }> {
  latest = $state.raw<T | null>(null);
  lost = $state(false);
  gone = $state(false);
  #source: EventSource | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #url = '';

  constructor(
    readonly name: string,
    readonly heard: (value: T) => void = () => {},
  ) {}

  open(url: string) {
    if (url === this.#url && this.#source) return;
    this.close();
    this.#url = url;
    this.#connect();
  }

  close() {
    clearTimeout(this.#retry);
    this.#source?.close();
    this.#source = null;
    this.#url = '';
    this.gone = false;
  }

  #connect() {
    const source = new EventSource(this.#url);
    this.#source = source;
    source.addEventListener(this.name, (event) => {
      const value = JSON.parse((event as MessageEvent<string>).data) as T;
      clock.set(value.at);
      this.lost = this.gone = false;
      this.latest = value;
      this.heard(value);
    });
    source.onerror = () => {
      if (this.#source !== source) return;
      source.close();
      this.lost = true;
      void this.#again(source);
    };
  }

  // The browser does not tell the status; one plain request does.
  async #again(source: EventSource) {
    await api.me().catch(() => {});
    if (this.#source !== source) return;
    this.#retry = setTimeout(() => this.#connect(), 2000);
  }
}
