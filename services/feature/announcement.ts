import { commonDefinitions, type FeatureEngine, type KeptEntity, seriesBeyond } from "@millrace/features";

/** Entities written at a time, so that changes do not wait for those that a new series touches. */
const SLICE = 2_000;

/**
 * Which series readers may be told are whole. One that has come new to the engine may only be announced when every entity that has it is in the
 * bucket, and when a checkpoint has it: whoever goes on after a kill must not write entities without what readers count on.
 */
export class Announcement {
  readonly #engine: FeatureEngine;
  /** What readers have been told. */
  #announced: string;
  /** What a process that starts now would have. */
  #restorable: string;
  /** Keys of entities still to be written. */
  #waiting: Set<string>;
  /** Readers count on what is being made, so that no watermark may be written before all of it. */
  readonly #atOnce: boolean;

  /**
   * @param announced by the last watermark; empty when there is none
   * @param engine as it was restored
   */
  constructor(engine: FeatureEngine, announced: string) {
    this.#engine = engine;
    this.#announced = announced;
    this.#restorable = engine.definitions;
    this.#waiting = new Set(engine.keysWith(seriesBeyond(engine.definitions, announced)));
    this.#atOnce = this.standsStill;
  }

  /** Readers count on a series that the engine, or its checkpoint, does not have: nothing may be written until they have. */
  get standsStill(): boolean {
    const wanted = commonDefinitions(this.#announced, this.#engine.set.definitions);
    return seriesBeyond(wanted, this.#held).size > 0;
  }

  /** What readers have been told. */
  get announced(): string {
    return this.#announced;
  }

  /** What the next watermark can announce. */
  get definitions(): string {
    return this.#waiting.size === 0 ? this.#held : commonDefinitions(this.#held, this.#announced);
  }

  /** What readers can still count on when they count on a series that is kept no more: they are to be told before an entity comes without it. */
  get lesser(): string | undefined {
    const lesser = commonDefinitions(this.#announced, this.definitions);
    return this.standsStill || seriesBeyond(this.#announced, lesser).size === 0 ? undefined : lesser;
  }

  get isWaiting(): boolean {
    return this.#waiting.size > 0;
  }

  /** The engine has adopted these series. */
  adopted(hashes: ReadonlySet<bigint>): void {
    for (const key of this.#engine.keysWith(hashes)) {
      if (this.#atOnce) this.#engine.putBack(this.#engine.entity(key) as KeptEntity, -Infinity);
      else this.#waiting.add(key);
    }
  }

  /** A checkpoint with these definitions is stored. */
  stored(definitions: string): void {
    this.#restorable = definitions;
  }

  /** A watermark with these definitions is written. */
  written(definitions: string): void {
    this.#announced = definitions;
  }

  /** Takes the next entities to write. */
  take(): KeptEntity[] {
    const taken: KeptEntity[] = [];
    for (const key of this.#waiting) {
      this.#waiting.delete(key);
      const entity = this.#engine.entity(key);
      if (entity !== undefined) taken.push(entity);
      if (taken.length >= SLICE) break;
    }
    return taken;
  }

  /** They were taken, and are not written. */
  putBack(entities: readonly KeptEntity[]): void {
    for (const { key } of entities) this.#waiting.add(key);
  }

  get #held(): string {
    return commonDefinitions(this.#engine.definitions, this.#restorable);
  }
}
