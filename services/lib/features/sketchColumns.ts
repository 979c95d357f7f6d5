import type { TileSeries } from "@millrace/proto/millrace/feature/v1/entity_state_pb.ts";
import { DistinctSketch, EXACT_VALUES, REGISTERS } from "./distinctSketch.ts";
import { DistinctWindow } from "./distinctWindow.ts";
import { TileColumns, type TileKind } from "./tileColumns.ts";

/** Where a window is put together. */
const window = new DistinctWindow();

/** Tiles that count distinct values, by their hashes. */
class SketchColumns extends TileColumns {
  readonly #sketches: DistinctSketch[];

  constructor(tiles: number[] = [], known: number[] = [], sketches: DistinctSketch[] = []) {
    super(tiles, known);
    this.#sketches = sketches;
  }

  read(from: number, to: number): number {
    const { known } = this;
    const sees = (index: number): boolean => (known[index] as number) < to;
    return window.estimate(this.#sketches, this.lowerBound(from), this.endBefore(to), sees);
  }

  clone(): TileColumns {
    const sketches = this.#sketches.map((sketch) => sketch.clone());
    return new SketchColumns(this.tiles.slice(), this.known.slice(), sketches);
  }

  encodeFrom(index: number): { sketches: Uint8Array[] } {
    return { sketches: this.#sketches.slice(index).map((sketch) => sketch.encode()) };
  }

  protected addAt(index: number, value: number): void {
    (this.#sketches[index] as DistinctSketch).add(value);
  }

  protected insertAt(index: number): void {
    this.#sketches.splice(index, 0, new DistinctSketch());
  }

  protected cut(count: number): void {
    this.#sketches.splice(0, count);
  }
}

/** The tiles of DISTINCT: see `DistinctSketch` for what it promises. */
export const DISTINCT_TILES: TileKind = {
  layout: `distinct ${EXACT_VALUES}/${REGISTERS}`,
  empty: 0,
  create: () => new SketchColumns(),
  decode(tiles: number[], known: number[], { sketches }: TileSeries): TileColumns | undefined {
    const decoded = sketches.map((bytes) => DistinctSketch.decode(bytes));
    if (decoded.length !== tiles.length || decoded.includes(undefined)) return undefined;
    return new SketchColumns(tiles, known, decoded as DistinctSketch[]);
  },
};
