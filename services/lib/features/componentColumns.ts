import type { TileSeries } from "@millrace/proto/millrace/feature/v1/entity_state_pb.ts";
import type { Aggregation } from "./aggregation.ts";
import { TileColumns, type TileKind } from "./tileColumns.ts";

/** Where a window is put together: the widest aggregation has five components. */
const window = new Float64Array(8);

/** Tiles of an aggregation that needs a fixed number of components for each. */
class ComponentColumns extends TileColumns {
  readonly #aggregation: Aggregation;
  readonly #components: number[];

  constructor(aggregation: Aggregation, tiles: number[] = [], known: number[] = [], components: number[] = []) {
    super(tiles, known);
    this.#aggregation = aggregation;
    this.#components = components;
  }

  read(from: number, to: number): number {
    const { known } = this;
    const aggregation = this.#aggregation;
    const { width, identity } = aggregation;
    for (let index = 0; index < width; index += 1) window[index] = identity[index] as number;
    const first = this.lowerBound(from);
    const end = this.endBefore(to);
    if (this.latestLate < to) aggregation.merge(window, this.#components, first, end);
    else {
      for (let index = first; index < end; index += 1) {
        if ((known[index] as number) < to) aggregation.merge(window, this.#components, index, index + 1);
      }
    }
    return aggregation.finish(window);
  }

  clone(): TileColumns {
    return new ComponentColumns(this.#aggregation, this.tiles.slice(), this.known.slice(), this.#components.slice());
  }

  encodeFrom(index: number): { components: number[] } {
    return { components: this.#components.slice(index * this.#aggregation.width) };
  }

  protected addAt(index: number, value: number, occurredAtMs: number): void {
    this.#aggregation.add(this.#components, index * this.#aggregation.width, value, occurredAtMs);
  }

  protected insertAt(index: number): void {
    const { width, identity } = this.#aggregation;
    if (index * width === this.#components.length) for (const component of identity) this.#components.push(component);
    else this.#components.splice(index * width, 0, ...identity);
  }

  protected cut(count: number): void {
    this.#components.splice(0, count * this.#aggregation.width);
  }
}

/** The tiles of an aggregation. */
export function componentTiles(aggregation: Aggregation): TileKind {
  const { layout, width, identity } = aggregation;
  return {
    layout,
    empty: aggregation.finish(Float64Array.from(identity)),
    create: () => new ComponentColumns(aggregation),
    decode(tiles: number[], known: number[], { components }: TileSeries): TileColumns | undefined {
      if (components.length !== tiles.length * width) return undefined;
      return new ComponentColumns(aggregation, tiles, known, components.slice());
    },
  };
}
