const EVERY_MS = 2_000;

/** Says how far something has come: on a terminal in one line that changes, elsewhere in a line every two seconds. On standard error. */
export class ProgressLine implements Disposable {
  #shownAt = performance.now();
  #width = 0;

  show(text: string): void {
    if (process.stderr.isTTY) {
      process.stderr.write(`\r${text.padEnd(this.#width)}`);
      this.#width = text.length;
      return;
    }
    if (performance.now() - this.#shownAt < EVERY_MS) return;
    this.#shownAt = performance.now();
    console.error(text);
  }

  /** Clears the line. */
  [Symbol.dispose](): void {
    if (this.#width > 0) process.stderr.write(`\r${" ".repeat(this.#width)}\r`);
  }
}
