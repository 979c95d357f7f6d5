import assert from "node:assert/strict";
import { test } from "node:test";
import { type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { type ListDataQualityRequestSchema } from "@millrace/proto/millrace/ingestion/v1/data_quality_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { at, TYPE } from "./dataQualityForTests.ts";
import { HOUR_MS } from "./hourQuality.ts";
import { START_MS, TestIngestion, text } from "./ingestionForTests.ts";

test("the newest day is shown unless one asks for other hours, a type or a field; what there is not is told", async () => {
  await using ingestion = await TestIngestion.start();
  const empty = await ingestion.quality();
  assert.deepEqual([empty.totals, empty.hours], [[], []]);
  // Nothing was accepted yet, so there is no clock.
  await ingestion.publish(at(-90, { origin: text("nowhere") }));
  await ingestion.settled();
  const { totals: refusals, findings } = await ingestion.quality();
  assert.deepEqual(
    refusals.map(({ accepted, rejected }) => [accepted, rejected]),
    [[0n, 1n]],
  );
  assert.equal(findings[0]?.kind, "all_rejected");
  for (const minute of [0, 30 * 60, 40 * 60]) await ingestion.publish(at(minute));
  await ingestion.settled();
  const hoursOf = async (request: MessageInitShape<typeof ListDataQualityRequestSchema>) => {
    const { hours } = await ingestion.quality(request);
    return hours.map(({ hour }) => (timestampMs(hour ?? timestampFromMs(0)) - START_MS) / HOUR_MS);
  };
  assert.deepEqual(await hoursOf({}), [30, 40]);
  assert.deepEqual(await hoursOf({ hours: 1 }), [40]);
  assert.deepEqual(await hoursOf({ hours: 41 }), [0, 30, 40]);
  assert.deepEqual(await hoursOf({ hours: 11, to: timestampFromMs(START_MS + 40 * HOUR_MS) }), [30]);
  assert.deepEqual(await hoursOf({ type: "flight.landed" }), []);
  const { totals, hours } = await ingestion.quality({ field: "distance", fieldsByHour: true });
  for (const quality of [...totals, ...hours])
    assert.deepEqual(
      quality.fields.map(({ name }) => name),
      ["distance"],
    );
  const refused: [MessageInitShape<typeof ListDataQualityRequestSchema>, string, RegExp][] = [
    [{ app: "nobody" }, "not_found", /no app "nobody"/],
    [{ type: "flight.lost" }, "not_found", /it has: flight\.landed, flight\.scheduled$/],
    [{ type: TYPE, field: "delay" }, "not_found", /there are: destination, distance, flight_id, origin$/],
    [{ hours: 10_000 }, "invalid_argument", /ask for 744 hours or fewer/],
    [{ from: timestampFromMs(9), to: timestampFromMs(9) }, "invalid_argument", /must be before/],
  ];
  for (const [request, code, message] of refused) {
    await assert.rejects(ingestion.quality(request), (error) => {
      assert.ok(error instanceof MillraceError && error.code === code);
      assert.match(error.message, message);
      return true;
    });
  }
});
