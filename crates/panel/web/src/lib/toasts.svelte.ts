// Short words about what was done, read out by screen readers.

interface Toast {
  id: number;
  text: string;
  bad: boolean;
}
class Toasts {
  shown = $state<Toast[]>([]);
  #next = 0;

  tell(text: string) {
    this.#show(text, false, 4000);
  }
  fail(text: string) {
    this.#show(text, true, 9000);
  }
  drop(id: number) {
    this.shown = this.shown.filter((toast) => toast.id !== id);
  }
  #show(text: string, bad: boolean, ms: number) {
    const id = this.#next++;
    this.shown = [...this.shown.slice(-3), { id, text, bad }];
    setTimeout(() => this.drop(id), ms);
  }
}
export const toasts = new Toasts();
