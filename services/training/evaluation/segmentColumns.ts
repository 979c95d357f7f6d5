import type { ModelledApp } from "../appRows.ts";
import type { BuiltDataset } from "../dataset.ts";
import { type SegmentColumn, segmentsOfNumbers, segmentsOfTexts } from "./segments.ts";

/** The app's segments as columns of the chosen rows: features by their values, fields of the request by their texts. */
export function segmentColumns({ model }: ModelledApp, { rows }: BuiltDataset, chosen: Uint32Array): SegmentColumn[] {
  return model.segments.flatMap((by): SegmentColumn[] => {
    const texts = rows.fields?.get(by);
    if (texts !== undefined)
      return [
        segmentsOfTexts(
          by,
          Array.from(chosen, (row) => texts[row]),
        ),
      ];
    const column = rows.columns[rows.featureNames.indexOf(by)];
    if (column === undefined) return [];
    const values = Float64Array.from(chosen, (row) => column[row] as number);
    return [segmentsOfNumbers(by, values, model.categorical.includes(by))];
  });
}
