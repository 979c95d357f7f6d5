import { create, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type DatasetReport,
  DatasetReportSchema,
  type Finding,
  type FindingKind,
  FindingKindSchema,
  FindingLevel,
  FindingSchema,
  Verdict,
} from "@millrace/proto/millrace/feature/v1/dataset_report_pb.ts";
import { type DatasetManifest, DatasetManifestSchema } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";

/** What a message may be made from, but for the message itself. */
type Init<Schema extends GenMessage<Message>> = Exclude<MessageInitShape<Schema>, Message>;

export const FROM_MS = Date.UTC(2001, 0, 1);
const HOUR_MS = 3_600_000;
const hour = (index: number) => timestampFromMs(FROM_MS + index * HOUR_MS);

/** A dataset of two hours, 1,000 rows each: in the second one half of the labels is missing. Its column `price` is missing in 500 rows. */
export function manifestForTests(changes: Init<typeof DatasetManifestSchema> = {}): DatasetManifest {
  return create(DatasetManifestSchema, {
    contentHash: "abcdef012345".padEnd(64, "0"),
    app: "shop",
    appVersion: 3,
    createdBy: "millrace feature 0.1.0",
    firstRowAt: hour(0),
    lastRowAt: hour(2),
    rows: 2_000n,
    labelledRows: 1_500n,
    features: [{ name: "price", text: "request.price", hash: "1" }],
    label: {
      text: "event.returned of order.closed, joined by order_id",
      hash: "2",
      wait: durationFromMs(48 * HOUR_MS),
    },
    columns: [
      {
        name: "price",
        missing: 500n,
        mean: 2.5,
        quantiles: [0.01, 0.5, 0.99].map((share) => ({ share, value: share * 10 })),
        bins: { low: [1, 2, 3, 4], high: [1, 2, 3, 4], rows: [100n, 200n, 400n, 800n] },
        labelSignal: { auc: 0.61 },
      },
      { name: "label", missing: 500n, mean: 0.25 },
    ],
    labels: {
      pendingRows: 300n,
      neverLabelledRows: 200n,
      positiveRows: 375n,
      events: 1_510n,
      duplicates: 7n,
      conflicts: 3n,
      unmatched: 5n,
      repeatedKeys: 11n,
      delaySeconds: [0.5, 0.95, 0.99].map((share) => ({ share, value: share * 7_200 })),
      sliceLength: durationFromMs(HOUR_MS),
      slices: [
        { from: hour(0), rows: 1_000n, labelled: 1_000n, positive: 100n },
        { from: hour(1), rows: 1_000n, labelled: 500n, positive: 275n, pending: 300n },
      ],
    },
    split: {
      holdoutFrom: hour(1),
      trainRows: 1_000n,
      trainPositive: 100n,
      holdoutRows: 500n,
      holdoutPositive: 275n,
    },
    ...changes,
  });
}

/** A finding of every kind, the gravest first, of each level some. The texts are as long as real ones are. */
export const FINDINGS: readonly Finding[] = FindingKindSchema.values
  .filter(({ number }) => number !== 0)
  .map(({ number: kind, localName }) =>
    create(FindingSchema, {
      kind: kind as FindingKind,
      level: [FindingLevel.STOP, FindingLevel.WARNING, FindingLevel.NOTE][kind % 3] as FindingLevel,
      what: `What ${localName} says, with its numbers: 12.3 % of the rows (2,345 of 19,065) are not what they should be, since 08:00.`,
      advice: `What to do about ${localName}: look at where they come from, mend it, publish the events again, and then build the dataset anew.`,
    }),
  )
  .sort((left, right) => right.level - left.level);

export function reportForTests(changes: Init<typeof DatasetReportSchema> = {}): DatasetReport {
  return create(DatasetReportSchema, {
    verdict: Verdict.DO_NOT_TRAIN,
    verdictText: "Do not train on this: 6 things would mislead the model.",
    findings: [...FINDINGS],
    ...changes,
  });
}
