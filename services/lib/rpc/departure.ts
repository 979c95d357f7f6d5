/**
 * Tells when nobody waits for a call's answer any more: what an AbortSignal does, of which it has the part that is used. Every call has one
 * and every message of a stream listens to it, and here a listener costs a place in a set: Node.js's signals and events cost 3 µs a call,
 * and time in proportion to the listeners to take one away.
 */
export interface Departure {
  readonly aborted: boolean;
  addEventListener(type: "abort", listener: () => void, options?: { readonly once?: boolean }): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

export class CallDeparture implements Departure {
  #listeners: Set<() => void> | undefined;
  #aborted = false;

  get aborted(): boolean {
    return this.#aborted;
  }

  addEventListener(_type: "abort", listener: () => void): void {
    (this.#listeners ??= new Set()).add(listener);
  }

  removeEventListener(_type: "abort", listener: () => void): void {
    this.#listeners?.delete(listener);
  }

  /** Calls every listener once. */
  abort(): void {
    if (this.#aborted) return;
    this.#aborted = true;
    const listeners = this.#listeners;
    this.#listeners = undefined;
    for (const listener of listeners ?? []) listener();
  }
}
