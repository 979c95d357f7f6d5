import { create } from "@bufbuild/protobuf";
import {
  type EntityState,
  EntityStateSchema,
  type TileSeries,
  TileSeriesSchema,
} from "@millrace/proto/millrace/feature/v1/entity_state_pb.ts";
import { MillraceError } from "@millrace/runtime";
import type { EntityPlan, SeriesPlan } from "./plan.ts";
import type { TileColumns } from "./tileColumns.ts";

/** The tiles of one entity, by the slot of the series; undefined where there are none. */
export type EntityTiles = (TileColumns | undefined)[];

/** No tiles at all, yet. */
export const emptyTiles = (plan: EntityPlan): EntityTiles => plan.series.map(() => undefined);

/**
 * Encodes an entity's tiles as the bucket `features_<app>` holds them; lossless from `firstTile` on, and without anything before it.
 * Equal tiles give equal bytes.
 */
export function encodeEntity(
  plan: EntityPlan,
  tiles: EntityTiles,
  firstTile: (series: SeriesPlan) => number,
): EntityState {
  const encoded: TileSeries[] = [];
  for (const series of plan.series) {
    const columns = tiles[series.slot];
    if (columns === undefined) continue;
    const from = columns.lowerBound(firstTile(series));
    if (from < columns.length) encoded.push(encodeColumns(series.hash, columns, from));
  }
  return create(EntityStateSchema, { series: encoded });
}

function encodeColumns(definition: bigint, columns: TileColumns, from: number): TileSeries {
  const { tiles, known } = columns;
  const tileSteps: number[] = [];
  const knownAfter: number[] = [];
  let previous = tiles[from] as number;
  let late = false;
  for (let index = from; index < tiles.length; index += 1) {
    const tile = tiles[index] as number;
    tileSteps.push(tile - previous);
    previous = tile;
    const after = (known[index] as number) - tile;
    knownAfter.push(after);
    late ||= after !== 0;
  }
  return create(TileSeriesSchema, {
    definition,
    firstTile: BigInt(tiles[from] as number),
    tileSteps,
    knownAfter: late ? knownAfter : [],
    ...columns.encodeFrom(from),
  });
}

/**
 * Decodes an entity's state. Series that the plan does not know are left out: to a reader they do not exist.
 *
 * @throws `data_loss` when a series is not what its definition says.
 */
export function decodeEntity(plan: EntityPlan, state: EntityState): EntityTiles {
  const result: EntityTiles = emptyTiles(plan);
  for (const stored of state.series) {
    const series = plan.series.find(({ hash }) => hash === stored.definition);
    if (series !== undefined) result[series.slot] = decodeColumns(series, stored);
  }
  return result;
}

function decodeColumns(series: SeriesPlan, stored: TileSeries): TileColumns {
  const { tileSteps, knownAfter } = stored;
  const tiles: number[] = [];
  const known: number[] = [];
  let tile = Number(stored.firstTile);
  for (let index = 0; index < tileSteps.length; index += 1) {
    tile += tileSteps[index] as number;
    tiles.push(tile);
    known.push(tile + (knownAfter[index] ?? 0));
  }
  const fits = knownAfter.length === 0 || knownAfter.length === tileSteps.length;
  const columns = fits ? series.kind.decode(tiles, known, stored) : undefined;
  if (columns !== undefined) return columns;
  const name = `${series.entity}'s ${series.kind.layout} over ${series.on}`;
  throw new MillraceError("data_loss", `a stored state is damaged: its series of ${name} does not fit its tiles`);
}
