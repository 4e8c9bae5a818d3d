// Short words about what was done, read out by screen readers.

interface Toast {
  id: number;
  text: string;
  bad: boolean;
}
const TOLD_MS = 4000;

class Toasts {
  shown = $state<Toast[]>([]);
  #next = 0;

  tell(text: string) {
    const id = this.#show(text, false);
    setTimeout(() => this.drop(id), TOLD_MS);
  }
  /** Stays until it is dismissed. */
  fail(text: string) {
    this.#show(text, true);
  }
  drop(id: number) {
    this.shown = this.shown.filter((toast) => toast.id !== id);
  }
  #show(text: string, bad: boolean): number {
    const id = this.#next++;
    this.shown = [...this.shown.slice(-3), { id, text, bad }];
    return id;
  }
}
export const toasts = new Toasts();
