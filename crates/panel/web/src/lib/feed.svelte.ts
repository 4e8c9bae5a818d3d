// Server-sent events, with what the browser's own EventSource does not do: say that the
// connection is lost, and find out whether that is because the login ended or because what
// was watched is no more. A page for which the server has no place asks every now and then.
import { api, ApiError } from './api';
import { clock } from './clock.svelte';

const AGAIN_MS = 2000;

export class Feed<T extends { at: number }> {
  latest = $state.raw<T | null>(null);
  lost = $state(false);
  /** There is no such thing now; it is looked for again and again. */
  gone = $state(false);
  #source: EventSource | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #url = '';

  constructor(
    readonly name: string,
    readonly heard: (value: T) => void = () => {},
  ) {}

  open(url: string) {
    if (url === this.#url) return;
    this.close();
    this.#url = url;
    document.addEventListener('visibilitychange', this.#turn);
    this.#turn();
  }

  close() {
    document.removeEventListener('visibilitychange', this.#turn);
    this.#hush();
    this.#url = '';
    this.lost = this.gone = false;
  }

  // A browser has six connections to a server for all its tabs together, so a tab that
  // nobody sees gives its own back.
  #turn = () => {
    if (document.hidden) this.#hush();
    else this.#connect();
  };

  #hush() {
    clearTimeout(this.#retry);
    this.#source?.close();
    this.#source = null;
  }

  #connect() {
    this.#hush();
    const source = new EventSource(this.#url);
    this.#source = source;
    source.addEventListener(this.name, (event) => this.#take(JSON.parse((event as MessageEvent<string>).data) as T));
    source.onerror = () => {
      source.close();
      if (this.#source === source) void this.#again(source);
    };
  }

  #take(value: T) {
    clock.set(value.at);
    this.lost = this.gone = false;
    this.latest = value;
    this.heard(value);
  }

  // The browser does not tell the status; one plain request does.
  async #again(source: EventSource) {
    const [value, why] = await api.probe<T>(this.#url).then((now) => [now, null] as const, (error: unknown) => [null, error] as const);
    if (this.#source !== source) return;
    if (value) this.#take(value);
    else {
      this.gone = why instanceof ApiError && why.status === 404;
      this.lost = !this.gone;
    }
    this.#retry = setTimeout(this.#turn, AGAIN_MS);
  }
}
