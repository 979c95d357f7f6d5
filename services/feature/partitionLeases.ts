import { type Bus, KeyValueWatch, type KV, type KvWatchEntry } from "@millrace/bus";
import { type Clock, describeError, type Logger } from "@millrace/runtime";
import { fairShare, type LeaseView } from "./fairShare.ts";

export interface PartitionLeasesOptions {
  readonly bus: Bus;
  readonly app: string;
  readonly partitions: number;
  /** Names this replica; the same after a restart, so that it goes on with what it had. */
  readonly replica: string;
  /** A lease that is not renewed for so long is free. */
  readonly leaseMs: number;
  /** Never goes back, and is not compared with that of another machine. */
  readonly clock: Clock;
  readonly logger: Logger;
  /** This replica has the partition from now on. */
  onTaken(partition: number): Promise<void>;
  /** It has it no longer: `lost` when somebody else may have it already, so that nothing may be written any more. */
  onGone(partition: number, lost: boolean): Promise<void>;
}

export const LEASE_BUCKET = "feature_leases";

/** An entry of the bucket, and when this replica saw it change. */
interface Seen {
  readonly holder: string;
  readonly revision: number;
  readonly atMs: number;
}

/** Looks, renews and moves this often in a lease. */
const STEPS = 4;

/**
 * Divides an app's partitions among the replicas that are alive, by leases in a bucket. A lease is taken and renewed by writing over
 * the revision that was read, so that of two who want it one gets it; it is free when its revision has not changed for `leaseMs` by the
 * watcher's own clock. Its holder stops by itself when it could not renew it for that long.
 */
export class PartitionLeases implements AsyncDisposable {
  readonly #options: PartitionLeasesOptions;
  readonly #bucket: KV;
  readonly #seen = new Map<string, Seen>();
  /** Partitions that this replica has, the lease's revision, and when it was renewed. */
  readonly #held = new Map<number, { revision: number; renewedMs: number }>();
  #watch: KeyValueWatch | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Renewing does not wait for partitions that are being taken or given back. */
  #renewing: Promise<void> = Promise.resolve();
  #moving: Promise<void> = Promise.resolve();
  #stopped = false;

  private constructor(options: PartitionLeasesOptions, bucket: KV) {
    this.#options = options;
    this.#bucket = bucket;
  }

  /** Resolves once this replica has taken what it can have now. */
  static async start(options: PartitionLeasesOptions, onFailure: (error: unknown) => void): Promise<PartitionLeases> {
    const { bus, app, logger, leaseMs } = options;
    const bucket = await bus.keyValue(LEASE_BUCKET);
    const leases = new PartitionLeases(options, bucket);
    const key = `${app}.>`;
    for await (const name of await bucket.keys(key)) {
      const entry = await bucket.get(name);
      if (entry?.operation === "PUT") leases.#note(entry.key, entry.string(), entry.revision);
    }
    leases.#watch = await KeyValueWatch.start(bucket, {
      key,
      logger,
      onFailure,
      onEntry: (entry) => leases.#adopt(entry),
    });
    leases.#timer = setInterval(() => leases.#tick(), leaseMs / STEPS);
    leases.#tick();
    await leases.#moving;
    return leases;
  }

  /** Whether this replica still has a partition, for certain: it renewed the lease not long ago. */
  holds(partition: number): boolean {
    const held = this.#held.get(partition);
    return held !== undefined && this.#options.clock.now() - held.renewedMs < this.#options.leaseMs;
  }

  /** Gives everything back. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#moving;
    for (const partition of this.#held.keys()) await this.#giveBack(partition);
    await this.#renewing;
    await this.#bucket.delete(this.#replicaKey).catch(() => undefined);
    await this.#watch?.[Symbol.asyncDispose]();
  }

  get #replicaKey(): string {
    return `${this.#options.app}.replica.${Buffer.from(this.#options.replica).toString("hex")}`;
  }

  #leaseKey(partition: number): string {
    return `${this.#options.app}.lease.${partition}`;
  }

  #adopt(entry: KvWatchEntry): void {
    if (entry.operation === "PUT") this.#note(entry.key, entry.string(), entry.revision);
    else this.#seen.delete(entry.key);
  }

  #note(key: string, holder: string, revision: number): void {
    const known = this.#seen.get(key);
    if (known !== undefined && known.revision >= revision) return;
    this.#seen.set(key, { holder, revision, atMs: this.#options.clock.now() });
  }

  #tick(): void {
    this.#renewing = this.#renewing.then(() => this.#try(() => this.#renew()));
    this.#moving = this.#moving.then(() => this.#try(() => this.#move()));
  }

  async #try(work: () => Promise<void>): Promise<void> {
    const { logger, app } = this.#options;
    try {
      if (!this.#stopped) await work();
    } catch (error) {
      logger.warn({ err: error, app }, `leases of ${app} are tried again: ${describeError(error)}`);
    }
  }

  async #move(): Promise<void> {
    const { replica } = this.#options;
    const { take, giveBack } = fairShare(replica, this.#alive(), this.#leases());
    for (const partition of giveBack) await this.#giveBack(partition);
    for (const partition of take) await this.#take(partition);
  }

  async #renew(): Promise<void> {
    const { replica, clock } = this.#options;
    this.#note(this.#replicaKey, replica, await this.#bucket.put(this.#replicaKey, replica));
    for (const [partition, held] of this.#held) {
      // Counted from before the write: others count from after it.
      const beforeMs = clock.now();
      try {
        held.revision = await this.#bucket.put(this.#leaseKey(partition), replica, { previousSeq: held.revision });
        held.renewedMs = beforeMs;
      } catch {
        const entry = await this.#bucket.get(this.#leaseKey(partition)).catch(() => null);
        const taken = entry !== null && entry.string() !== replica;
        if (entry !== null && !taken) held.revision = entry.revision;
        if (taken || !this.holds(partition)) await this.#lose(partition);
      }
    }
  }

  async #take(partition: number): Promise<void> {
    const { replica, clock, logger, app } = this.#options;
    const key = this.#leaseKey(partition);
    const renewedMs = clock.now();
    const before = this.#seen.get(key);
    try {
      const previousSeq = before?.revision ?? (await this.#bucket.get(key))?.revision ?? 0;
      const revision = await this.#bucket.put(key, replica, { previousSeq });
      this.#note(key, replica, revision);
      this.#held.set(partition, { revision, renewedMs });
    } catch {
      // Somebody else was faster.
      return;
    }
    const from = before === undefined ? "" : `, which ${before.holder} had`;
    logger.info({ app, partition, replica }, `took partition ${partition} of ${app}${from}`);
    try {
      await this.#options.onTaken(partition);
    } catch (error) {
      // Free for whoever can.
      await this.#giveBack(partition);
      throw error;
    }
  }

  /** Ends the work first: whoever takes it goes on from what was stored. */
  async #giveBack(partition: number): Promise<void> {
    const { app, logger, replica } = this.#options;
    await this.#options.onGone(partition, false);
    this.#held.delete(partition);
    this.#seen.delete(this.#leaseKey(partition));
    await this.#bucket.delete(this.#leaseKey(partition)).catch(() => undefined);
    logger.info({ app, partition, replica }, `gave partition ${partition} of ${app} back`);
  }

  async #lose(partition: number): Promise<void> {
    const { app, logger, replica } = this.#options;
    this.#held.delete(partition);
    logger.warn({ app, partition, replica }, `lost partition ${partition} of ${app}: its lease could not be renewed`);
    await this.#options.onGone(partition, true);
  }

  #alive(): string[] {
    const prefix = `${this.#options.app}.replica.`;
    return [...this.#seen]
      .filter(([key, seen]) => key.startsWith(prefix) && !this.#hasExpired(seen))
      .map(([, { holder }]) => holder);
  }

  #leases(): LeaseView[] {
    return Array.from({ length: this.#options.partitions }, (_, partition) => {
      const seen = this.#seen.get(this.#leaseKey(partition));
      if (this.#held.has(partition)) return { partition, holder: this.#options.replica, expired: false };
      // One that this replica had before it was restarted is its own to take.
      if (seen?.holder === this.#options.replica) return { partition, holder: undefined, expired: false };
      return { partition, holder: seen?.holder, expired: seen !== undefined && this.#hasExpired(seen) };
    });
  }

  #hasExpired({ atMs }: Seen): boolean {
    return this.#options.clock.now() - atMs > this.#options.leaseMs;
  }
}
