import type { TileSeries } from "@millrace/proto/millrace/feature/v1/entity_state_pb.ts";

/** Expired tiles are cut off when there are this many, so that cutting costs next to nothing per event. */
const PRUNE_AT = 16;

/** What the tiles of a series hold, and how they are made. */
export interface TileKind {
  /** Names what a tile holds; part of a series' definition. */
  readonly layout: string;
  /** What a window without any value says. */
  readonly empty: number;
  /** No tiles yet. */
  create(): TileColumns;
  /** Tiles as they were stored; undefined when that is not what such a series stores. */
  decode(tiles: number[], known: number[], stored: TileSeries): TileColumns | undefined;
}

/**
 * The tiles of one series of one entity, as columns sorted by (tile, known tile). Only tiles with values exist.
 *
 * A value that happened in tile t and became known in tile k >= t is kept under (t, k): a reader whose own tile is r sees it when k < r,
 * exactly as it would have then, however much later it reads.
 */
export abstract class TileColumns {
  /** Tile numbers, floor(occurred_at / tile length). */
  readonly tiles: number[];
  /** Tile numbers in which the values became known. */
  readonly known: number[];

  /** The latest tile in which a value of a tile before it became known; a read in a later tile sees all of its window. */
  protected latestLate = -Infinity;

  constructor(tiles: number[], known: number[]) {
    this.tiles = tiles;
    this.known = known;
    for (let index = 0; index < tiles.length; index += 1)
      this.#noteLate(tiles[index] as number, known[index] as number);
  }

  get length(): number {
    return this.tiles.length;
  }

  /** Adds a value. */
  add(tile: number, known: number, value: number, occurredAtMs: number): void {
    const { tiles } = this;
    let index = tiles.length - 1;
    while (index >= 0 && (tiles[index] as number) > tile) index -= 1;
    while (index >= 0 && tiles[index] === tile && (this.known[index] as number) > known) index -= 1;
    if (index < 0 || tiles[index] !== tile || this.known[index] !== known) {
      index += 1;
      this.#insert(index, tile, known);
    }
    this.addAt(index, value, occurredAtMs);
  }

  /** What a window of the tiles [from, to) says, of values known before tile `to`. */
  abstract read(from: number, to: number): number;

  /** Removes tiles before `firstTile`, when there are enough of them to be worth it. */
  prune(firstTile: number): void {
    if (this.tiles.length < PRUNE_AT || (this.tiles[PRUNE_AT - 1] as number) >= firstTile) return;
    const expired = this.lowerBound(firstTile);
    this.tiles.splice(0, expired);
    this.known.splice(0, expired);
    this.cut(expired);
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

  /** Index after the last entry whose tile is before `tile`; reads are mostly of the newest tiles. */
  endBefore(tile: number): number {
    const { tiles } = this;
    let end = tiles.length;
    for (let steps = 0; steps < 8; steps += 1) {
      if (end === 0 || (tiles[end - 1] as number) < tile) return end;
      end -= 1;
    }
    return this.lowerBound(tile);
  }

  /** The same tiles, which change no more with these. */
  abstract clone(): TileColumns;

  /** What the entries from `index` on hold, to be stored. */
  abstract encodeFrom(index: number): { components: number[] } | { sketches: Uint8Array[] };

  protected abstract addAt(index: number, value: number, occurredAtMs: number): void;

  protected abstract insertAt(index: number): void;

  /** Removes what the first entries hold. */
  protected abstract cut(count: number): void;

  #noteLate(tile: number, known: number): void {
    if (known !== tile && known > this.latestLate) this.latestLate = known;
  }

  #insert(index: number, tile: number, known: number): void {
    this.#noteLate(tile, known);
    if (index === this.tiles.length) {
      this.tiles.push(tile);
      this.known.push(known);
    } else {
      this.tiles.splice(index, 0, tile);
      this.known.splice(index, 0, known);
    }
    this.insertAt(index);
  }
}
