import type { HistogramTask } from "./histogram.ts";

/** Places in the shared memory: counts up with every piece of work, -1 at the end; threads that are done; number of tasks; the tasks. */
const TURN = 0;
const DONE = 1;
const TASKS = 2;
const FIRST_TASK = 3;
const TASK_WIDTH = 3;
const ENDED = -1;

/** How threads that share memory tell each other that there is work, and that it is done. */
export class ThreadSignals {
  /** Shared. */
  readonly memory: Int32Array;
  #turn = 0;

  constructor(memory: Int32Array) {
    this.memory = memory;
  }

  static make(maxTasks: number): ThreadSignals {
    const bytes = (FIRST_TASK + TASK_WIDTH * maxTasks) * Int32Array.BYTES_PER_ELEMENT;
    return new ThreadSignals(new Int32Array(new SharedArrayBuffer(bytes)));
  }

  /** Gives all other threads the tasks. */
  begin(tasks: readonly HistogramTask[]): void {
    const { memory } = this;
    for (const [index, { slot, begin, end }] of tasks.entries()) {
      memory.set([slot, begin, end], FIRST_TASK + TASK_WIDTH * index);
    }
    memory[TASKS] = tasks.length;
    Atomics.store(memory, DONE, 0);
    this.#turn += 1;
    Atomics.store(memory, TURN, this.#turn);
    Atomics.notify(memory, TURN);
  }

  /** Waits until so many threads are done with what `begin` gave them. @returns false when they are not, after this long */
  waitForAll(threads: number, milliseconds: number): boolean {
    const { memory } = this;
    for (let done = Atomics.load(memory, DONE); done < threads; done = Atomics.load(memory, DONE)) {
      if (Atomics.wait(memory, DONE, done, milliseconds) === "timed-out") return false;
    }
    return true;
  }

  /** No more work comes. */
  end(): void {
    Atomics.store(this.memory, TURN, ENDED);
    Atomics.notify(this.memory, TURN);
  }

  /** In a thread: waits for the next tasks; undefined at the end. */
  next(): HistogramTask[] | undefined {
    const { memory } = this;
    Atomics.wait(memory, TURN, this.#turn);
    this.#turn = Atomics.load(memory, TURN);
    if (this.#turn === ENDED) return undefined;
    return Array.from({ length: memory[TASKS] as number }, (_, index) => {
      const [slot = 0, begin = 0, end = 0] = memory.subarray(FIRST_TASK + TASK_WIDTH * index);
      return { slot, begin, end };
    });
  }

  /** In a thread: the tasks are done. */
  done(): void {
    Atomics.add(this.memory, DONE, 1);
    Atomics.notify(this.memory, DONE);
  }
}
