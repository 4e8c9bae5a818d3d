// Bit rates and their short history, from counters of bytes.

export interface Point {
  at: number;
  value: number;
}
const KEPT = 120;
const FORGOTTEN_AFTER_MS = 120_000;

/** The rates of many counters, by name. */
export class Rates {
  #counters = new Map<string, { at: number; bytes: number; points: Point[] }>();

  /** Takes a counter's value at a time of the server. */
  take(name: string, at: number, bytes: number) {
    const before = this.#counters.get(name);
    if (!before) {
      this.#counters.set(name, { at, bytes, points: [] });
      return;
    }
    // It begins anew with another publisher, and a sum falls when one of its parts goes.
    if (bytes < before.bytes) {
      [before.at, before.bytes] = [at, bytes];
      return;
    }
    const seconds = (at - before.at) / 1000;
    if (seconds < 0.5) return;
    before.points.push({ at, value: ((bytes - before.bytes) * 8) / seconds });
    if (before.points.length > KEPT) before.points.shift();
    [before.at, before.bytes] = [at, bytes];
  }

  /** Forgets what has not been heard of for two minutes. */
  sweep(now: number) {
    for (const [name, counter] of this.#counters) if (now - counter.at > FORGOTTEN_AFTER_MS) this.#counters.delete(name);
  }

  points(name: string): readonly Point[] {
    return this.#counters.get(name)?.points ?? [];
  }

  /** Bits per second, over the last three values; `null` before there are two. */
  latest(name: string): number | null {
    const last = this.points(name).slice(-3);
    return last.length ? last.reduce((sum, point) => sum + point.value, 0) / last.length : null;
  }
}
