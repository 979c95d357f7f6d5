/** A partition's share of the entities. */
export interface Share {
  readonly partition: number;
  /** How many partitions there are; the same for all replicas. */
  readonly partitions: number;
}

/** FNV-1a of 32 bits (http://www.isthe.com/chongo/tech/comp/fnv/), over UTF-16 code units, stirred so that its low bits are even. */
function hashOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < key.length; index += 1) {
    hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193);
  }
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}

/** The partition that keeps an entity, by its key in the bucket. It never changes: stored features lie where it says. */
export const partitionOf = (key: string, partitions: number): number => hashOf(key) % partitions;

/** Tells a partition's entities by their keys; undefined when all are its own. */
export function ownedBy({ partition, partitions }: Share): ((key: string) => boolean) | undefined {
  return partitions === 1 ? undefined : (key) => partitionOf(key, partitions) === partition;
}
