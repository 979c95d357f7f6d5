import type { Aggregation } from "./aggregation.ts";

/** Expired tiles are cut off when there are this many, so that cutting costs next to nothing per event. */
const PRUNE_AT = 16;

/**
 * The tiles of one series of one entity, as columns sorted by (tile, known tile). Only tiles with values exist.
 *
 * A value that happened in tile t and became known in tile k >= t is kept under (t, k): a reader whose own tile is r sees it when k < r,
 * exactly as it would have then, however much later it reads.
 */
export class TileColumns {
  /** Tile numbers, floor(occurred_at / tile length). */
  readonly tiles: number[];
  /** Tile numbers in which the values became known. */
  readonly known: number[];
  readonly components: number[];

  constructor(tiles: number[] = [], known: number[] = [], components: number[] = []) {
    this.tiles = tiles;
    this.known = known;
    this.components = components;
  }

  get length(): number {
    return this.tiles.length;
  }

  /** Adds a value. */
  add(aggregation: Aggregation, tile: number, known: number, value: number, occurredAtMs: number): void {
    const { tiles } = this;
    let index = tiles.length - 1;
    while (index >= 0 && (tiles[index] as number) > tile) index -= 1;
    while (index >= 0 && tiles[index] === tile && (this.known[index] as number) > known) index -= 1;
    if (index < 0 || tiles[index] !== tile || this.known[index] !== known) {
      index += 1;
      this.#insert(aggregation, index, tile, known);
    }
    aggregation.add(this.components, index * aggregation.width, value, occurredAtMs);
  }

  /** Removes tiles before `firstTile`, when there are enough of them to be worth it. */
  prune(width: number, firstTile: number): void {
    if (this.tiles.length < PRUNE_AT || (this.tiles[PRUNE_AT - 1] as number) >= firstTile) return;
    const expired = this.lowerBound(firstTile);
    this.tiles.splice(0, expired);
    this.known.splice(0, expired);
    this.components.splice(0, expired * width);
  }

  /** Index of the first entry whose tile is at least `tile`. */
  lowerBound(tile: number): number {
    const { tiles } = this;
    let low = 0;
    let high = tiles.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((tiles[middle] as number) < tile) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Merges the tiles [from, to) that were known before tile `to` into `window`. */
  merge(aggregation: Aggregation, window: Float64Array, from: number, to: number): void {
    const { tiles, known, components } = this;
    const { width } = aggregation;
    for (let index = this.lowerBound(from); index < tiles.length && (tiles[index] as number) < to; index += 1) {
      if ((known[index] as number) < to) aggregation.merge(window, components, index * width);
    }
  }

  #insert(aggregation: Aggregation, index: number, tile: number, known: number): void {
    if (index === this.tiles.length) {
      this.tiles.push(tile);
      this.known.push(known);
      for (const component of aggregation.identity) this.components.push(component);
      return;
    }
    this.tiles.splice(index, 0, tile);
    this.known.splice(index, 0, known);
    this.components.splice(index * aggregation.width, 0, ...aggregation.identity);
  }
}
