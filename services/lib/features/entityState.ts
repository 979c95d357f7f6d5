import { create } from "@bufbuild/protobuf";
import {
  type EntityState,
  EntityStateSchema,
  type TileSeries,
  TileSeriesSchema,
} from "@millrace/proto/millrace/feature/v1/entity_state_pb.ts";
import type { EntityPlan } from "./plan.ts";
import { TileColumns } from "./tileColumns.ts";

/** The tiles of one entity, by the slot of the series; undefined where there are none. */
export type EntityTiles = (TileColumns | undefined)[];

/** No tiles at all, yet. */
export const emptyTiles = (plan: EntityPlan): EntityTiles => plan.series.map(() => undefined);

/** Encodes an entity's tiles as the bucket `features_<app>` holds them; lossless. */
export function encodeEntity(plan: EntityPlan, tiles: EntityTiles): EntityState {
  const series: TileSeries[] = [];
  for (const { slot, hash } of plan.series) {
    const columns = tiles[slot];
    if (columns !== undefined && columns.length > 0) series.push(encodeColumns(hash, columns));
  }
  return create(EntityStateSchema, { series });
}

function encodeColumns(definition: bigint, { tiles, known, components }: TileColumns): TileSeries {
  const tileSteps: number[] = [];
  const knownAfter: number[] = [];
  let previous = tiles[0] as number;
  let late = false;
  for (let index = 0; index < tiles.length; index += 1) {
    const tile = tiles[index] as number;
    tileSteps.push(tile - previous);
    previous = tile;
    const after = (known[index] as number) - tile;
    knownAfter.push(after);
    late ||= after !== 0;
  }
  return create(TileSeriesSchema, {
    definition,
    firstTile: BigInt(tiles[0] as number),
    tileSteps,
    knownAfter: late ? knownAfter : [],
    components: components.slice(),
  });
}

/** Decodes an entity's state. Series that the plan does not know are left out: to a reader they do not exist. */
export function decodeEntity(plan: EntityPlan, state: EntityState): EntityTiles {
  const result: EntityTiles = emptyTiles(plan);
  for (const series of state.series) {
    const definition = plan.series.find(({ hash }) => hash === series.definition);
    if (definition === undefined) continue;
    const { tileSteps, knownAfter, components } = series;
    const tiles: number[] = [];
    const known: number[] = [];
    let tile = Number(series.firstTile);
    for (let index = 0; index < tileSteps.length; index += 1) {
      tile += tileSteps[index] as number;
      tiles.push(tile);
      known.push(tile + (knownAfter[index] ?? 0));
    }
    result[definition.slot] = new TileColumns(tiles, known, components.slice());
  }
  return result;
}
