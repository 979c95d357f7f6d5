import type { Bus, ObjectStore } from "@millrace/bus";
import { describeError, type Logger } from "@millrace/runtime";

/** An app's checkpoints in the object store `checkpoints`. A new one replaces the old when it is stored whole, not before. */
export class CheckpointStore {
  readonly #objects: ObjectStore;
  readonly #name: string;
  readonly #logger: Logger;

  private constructor(objects: ObjectStore, name: string, logger: Logger) {
    this.#objects = objects;
    this.#name = name;
    this.#logger = logger;
  }

  static async open(bus: Bus, app: string, partition: number, logger: Logger): Promise<CheckpointStore> {
    return new CheckpointStore(await bus.objects("checkpoints"), `${app}.${partition}`, logger);
  }

  /** The newest checkpoint, or undefined when there is none that can be read. */
  async load(): Promise<Uint8Array | undefined> {
    try {
      return (await this.#objects.getBlob(this.#name)) ?? undefined;
    } catch (error) {
      const message = `the checkpoint ${this.#name} cannot be read (${describeError(error)}); beginning at the start of the stream`;
      this.#logger.warn({ err: error }, message);
      return undefined;
    }
  }

  async save(checkpoint: Uint8Array): Promise<void> {
    await this.#objects.putBlob({ name: this.#name }, checkpoint);
  }
}
