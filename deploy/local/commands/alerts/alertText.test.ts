import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { AlertSchema, AlertState, Severity } from "@millrace/proto/millrace/monitor/v1/alert_pb.ts";
import { MuteSchema } from "@millrace/proto/millrace/monitor/v1/monitor_service_pb.ts";
import { alertTable, describeAlert } from "./alertText.ts";
import { readAlertId } from "./monitorClient.ts";

const ALERT = create(AlertSchema, {
  id: "app-drift-1",
  state: AlertState.UPDATED,
  severity: Severity.WARNING,
  title: "distance (PSI 0.400, limit 0.250) of app/1 differ from its training set since 2001-01-01 00:00 UTC.",
  advice: "distance is made from flight.scheduled.distance: the likely cause is there.",
  causes: ["flight.scheduled.distance"],
  openedAt: timestampFromMs(0),
  evidence: [
    {
      subject: "distance",
      statistic: "psi",
      value: 0.4,
      limit: 0.25,
      pValue: 0.0001,
      importance: 0.25,
      picture: { edges: [100, 500], reference: [0.2, 0.5, 0.3], current: [0.6, 0.3, 0.1], currentMissing: 0.05 },
    },
  ],
});

test("an alert is drawn with its inputs before and after", () => {
  const text = describeAlert({ ...ALERT, acknowledgement: undefined }).join("\n");
  assert.match(text, /^app-drift-1 {3}open, warning, opened 1970-01-01 00:00/);
  assert.match(text, /distance: psi 0\.400, limit 0\.250, p 1\.0e-4, importance 25\.0 %/);
  assert.match(text, /up to 100 +20\.0 % +60\.0 % +█{10} +█{30}$/m);
  assert.match(text, /100 to 500 +50\.0 % +30\.0 % +█{25} +█{15}$/m);
  assert.match(text, /missing +0\.0 % +5\.0 %/);
});

test("alerts are listed with who took them on, and what is muted", () => {
  const mute = create(MuteSchema, { id: "mute-1", subject: "distance", by: "ada", reason: "new fares" });
  const [head, row, muted] = alertTable([ALERT], [mute]);
  assert.match(head ?? "", /^id +opened +state +severity +about +taken on by$/);
  assert.match(row ?? "", /^app-drift-1 +1970-01-01 00:00 +open +warning +distance$/);
  assert.match(muted ?? "", /^mute-1: ada wants to hear nothing of distance until .*\(new fares\)$/);
});

test("a command about one alert takes one id", () => {
  assert.equal(readAlertId("alerts show", ["x"]), "x");
  assert.throws(() => readAlertId("alerts show", []), /takes one alert's id, not nothing/);
  assert.throws(() => readAlertId("alerts show", ["x", "y"]), /not "x y"/);
});
