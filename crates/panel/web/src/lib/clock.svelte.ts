// The server's clock, seen from here: codes and blocks follow that one, and a browser's
// may be wrong by minutes.

class ServerClock {
  #offset = 0;
  /** The server's now in milliseconds; changes each second. */
  now = $state(Date.now());

  constructor() {
    setInterval(() => (this.now = this.read()), 1000);
  }

  /** The server's now, exactly now. */
  read(): number {
    return Date.now() + this.#offset;
  }

  /** Takes the time that an answer carried. */
  set(at: number) {
    const offset = at - Date.now();
    // What the network adds is noise; a clock that is really off is off by more.
    if (Math.abs(offset - this.#offset) > 500) this.#offset = offset;
    this.now = this.read();
  }
}

export const clock = new ServerClock();
