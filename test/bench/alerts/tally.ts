/** What one policy did with streams without drift. */
export class FalseAlarms {
  #windows = 0;
  #raised = 0;
  #inAlarm = 0;

  /** @param raised windows in which an alarm began @param inAlarm windows with an alarm */
  add(windows: number, raised: number, inAlarm: number): void {
    this.#windows += windows;
    this.#raised += raised;
    this.#inAlarm += inAlarm;
  }

  get windows(): number {
    return this.#windows;
  }

  get raisedPerThousand(): number {
    return (1_000 * this.#raised) / this.#windows;
  }

  get inAlarmPerThousand(): number {
    return (1_000 * this.#inAlarm) / this.#windows;
  }
}

/** What one policy did with streams of one kind and size of drift. */
export class Detections {
  readonly #delays: number[] = [];
  #inTime = 0;
  #alerts = 0;

  /** @param delay windows until it was told, 1 for the first; Infinity for never @param alerts how many alerts told it */
  add(delay: number, inTime: boolean, alerts: number): void {
    this.#delays.push(delay);
    if (inTime) this.#inTime += 1;
    this.#alerts += alerts;
  }

  get streams(): number {
    return this.#delays.length;
  }

  /** Share told at all. */
  get told(): number {
    return this.#delays.filter((delay) => delay < Infinity).length / this.streams;
  }

  get toldInTime(): number {
    return this.#inTime / this.streams;
  }

  get medianDelay(): number {
    return this.#delays.toSorted((a, b) => a - b)[Math.floor((this.streams - 1) / 2)] ?? Number.NaN;
  }

  get alertsEach(): number {
    return this.#alerts / this.streams;
  }
}
