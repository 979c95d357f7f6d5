import { landingMs } from "./events.ts";
import type { Flights } from "./flights.ts";

/** One thing that happens to a flight. */
export interface Happening {
  readonly kind: "scheduled" | "landed";
  /** Index into the flights. */
  readonly flight: number;
  readonly atMs: number;
}

/** Everything that happens, in order of event time; what is at the same time in order of rows, departures first. */
export class Timeline {
  readonly #flights: Flights;
  readonly #landings: Float64Array;
  readonly #byLanding: Uint32Array;
  #departed = 0;
  #landed = 0;

  constructor(flights: Flights) {
    this.#flights = flights;
    this.#landings = Float64Array.from({ length: flights.count }, (_, index) => landingMs(flights, index));
    this.#byLanding = Uint32Array.from({ length: flights.count }, (_, index) => index).sort(
      (left, right) => (this.#landings[left] as number) - (this.#landings[right] as number) || left - right,
    );
  }

  /** When the next thing happens; Infinity at the end. */
  get nextMs(): number {
    return Math.min(this.#nextDepartureMs, this.#nextLandingMs);
  }

  /** The next thing; undefined at the end. */
  next(): Happening | undefined {
    const departureMs = this.#nextDepartureMs;
    const arrivalMs = this.#nextLandingMs;
    if (departureMs === Infinity && arrivalMs === Infinity) return undefined;
    if (departureMs <= arrivalMs) {
      this.#departed += 1;
      return { kind: "scheduled", flight: this.#departed - 1, atMs: departureMs };
    }
    this.#landed += 1;
    return { kind: "landed", flight: this.#byLanding[this.#landed - 1] as number, atMs: arrivalMs };
  }

  get #nextDepartureMs(): number {
    return this.#departed < this.#flights.count ? (this.#flights.departureMs[this.#departed] as number) : Infinity;
  }

  get #nextLandingMs(): number {
    if (this.#landed === this.#flights.count) return Infinity;
    return this.#landings[this.#byLanding[this.#landed] as number] as number;
  }
}
