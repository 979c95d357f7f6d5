import { acceptedSubject, type Bus } from "@millrace/bus";
import type { Database } from "@millrace/db";
import { describeError, type Logger } from "@millrace/runtime";
import { encodeBatch, encodeCompleteBefore } from "./acceptedEncoding.ts";
import type { OutboxBatch } from "./batch.ts";
import { partitionOf } from "./partitioning.ts";
import { deletePublished, readBatchEvents, readOutbox, type UnpublishedBatch } from "./store.ts";

/** What is published: a batch with its bytes. */
type Publishable = Pick<OutboxBatch, "batchId" | "app" | "type" | "partition" | "payload">;

/** Rows of published batches are deleted together, this often. */
const CLEAN_INTERVAL_MS = 250;

/**
 * Publishes stored batches on ACCEPTED, in log order, and takes them out of the outbox afterwards. A batch that was published and
 * not taken out yet is published again after a crash, under the same id: the broker drops it, and consumers would.
 */
export class Outbox implements AsyncDisposable {
  readonly #bus: Bus;
  readonly #database: Database;
  readonly #logger: Logger;
  readonly #pending: Publishable[] = [];
  #published: string[] = [];
  readonly #timer: NodeJS.Timeout;
  #cleaning: Promise<void> = Promise.resolve();

  constructor(bus: Bus, database: Database, logger: Logger) {
    this.#bus = bus;
    this.#database = database;
    this.#logger = logger;
    this.#timer = setInterval(() => {
      this.#cleaning = this.#clean();
    }, CLEAN_INTERVAL_MS);
  }

  /**
   * Publishes what an earlier process stored and perhaps did not publish. The last batch of each app tells that everything before it is out:
   * of a transaction that was published in part, the batch that would have told it may be missing.
   */
  async recover(): Promise<number> {
    const left = await readOutbox(this.#database);
    const lastOf = new Map(left.map((batch) => [batch.app, batch]));
    const clocks = new Map<string, number>();
    for (const batch of left) {
      const { payload, knownAtMs } = await this.#contentOf(batch);
      const clockMs = Math.max(clocks.get(batch.app) ?? -Infinity, knownAtMs);
      clocks.set(batch.app, clockMs);
      const isLast = lastOf.get(batch.app) === batch && clockMs !== -Infinity;
      const end = isLast ? [encodeCompleteBefore(clockMs)] : [];
      this.#pending.push({ ...batch, payload: Buffer.concat([payload, ...end]) });
      if (this.#pending.length >= 64) await this.publish([]);
    }
    await this.publish([]);
    return left.length;
  }

  /** Publishes batches after those that are still pending; resolves when the stream has stored them all. */
  async publish(batches: readonly Publishable[]): Promise<void> {
    this.#pending.push(...batches);
    const sending = [...this.#pending];
    // All at once, for speed; the stream stores them in the order in which they are sent.
    const results = await Promise.allSettled(
      sending.map((batch) =>
        this.#bus.publishBytes(acceptedSubject(batch.app, batch.type, batch.partition), batch.payload, {
          id: batch.batchId,
        }),
      ),
    );
    // After a failure, everything from there on is sent again, so that the order holds.
    const failed = results.findIndex(({ status }) => status === "rejected");
    const confirmed = failed === -1 ? sending : sending.slice(0, failed);
    this.#pending.splice(0, confirmed.length);
    for (const { batchId } of confirmed) this.#published.push(batchId);
    if (failed !== -1) throw (results[failed] as PromiseRejectedResult).reason;
  }

  async #contentOf(batch: UnpublishedBatch): Promise<{ payload: Buffer; knownAtMs: number }> {
    const events = await readBatchEvents(this.#database, batch);
    const own = events.filter(({ id }) => partitionOf(id, batch.partitions) === batch.partition);
    return {
      payload: encodeBatch(
        batch.batchId,
        own.map(({ accepted }) => accepted),
      ),
      knownAtMs: Math.max(-Infinity, ...own.map((event) => event.knownAtMs)),
    };
  }

  async #clean(): Promise<void> {
    await this.#cleaning;
    if (this.#published.length === 0) return;
    const batchIds = this.#published;
    this.#published = [];
    try {
      await deletePublished(this.#database, batchIds);
    } catch (error) {
      this.#published.push(...batchIds);
      this.#logger.warn({ err: error }, `could not clean the outbox: ${describeError(error)}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#clean();
  }
}
