/** How the lease of a partition looks to a replica. */
export interface LeaseView {
  readonly partition: number;
  /** Who has it, or had it; undefined when nobody ever did, or gave it back. */
  readonly holder: string | undefined;
  /** Its holder has not renewed it for longer than a lease lasts. */
  readonly expired: boolean;
}

export interface ShareChange {
  readonly take: readonly number[];
  readonly giveBack: readonly number[];
}

/**
 * What a replica should do so that partitions are spread evenly: take free ones up to its share, give back what is above it. Shares
 * differ by one at most, the larger ones by the order of names, so that all replicas come to the same conclusion without talking. Pure.
 *
 * @param replicas who is alive, this one included
 */
export function fairShare(self: string, replicas: Iterable<string>, leases: readonly LeaseView[]): ShareChange {
  const alive = [...new Set([...replicas, self])].sort();
  const rank = alive.indexOf(self);
  const share = Math.floor(leases.length / alive.length) + (rank < leases.length % alive.length ? 1 : 0);
  const own = leases.filter(({ holder }) => holder === self).map(({ partition }) => partition);
  const free = leases.filter(({ holder, expired }) => holder === undefined || (expired && holder !== self));
  return {
    take: free.slice(0, Math.max(0, share - own.length)).map(({ partition }) => partition),
    giveBack: own.slice(share),
  };
}
