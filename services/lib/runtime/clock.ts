/**
 * The wall clock, injected so that tests can turn it. Only deadlines and timeouts go by it; windows, joins and schedules
 * go by event time.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
}

export const systemClock: Clock = { now: () => Date.now() };
