import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Alert, AlertSchema } from "@millrace/proto/millrace/monitor/v1/alert_pb.ts";
import { type Mute, MuteSchema } from "@millrace/proto/millrace/monitor/v1/monitor_service_pb.ts";
import { isMuted } from "./mutes.ts";

const alertAbout = (...subjects: string[]): Alert =>
  create(AlertSchema, {
    app: "app",
    monitor: "drift",
    evidence: subjects.map((subject) => ({ subject })),
    changedAt: timestampFromMs(100),
  });

const mute = (change: { app?: string; monitor?: string; subject?: string; untilMs?: number }): Mute => {
  const { untilMs = 200, ...rest } = change;
  return create(MuteSchema, { app: "app", ...rest, until: timestampFromMs(untilMs) });
};

test("a mute is of an app, and of a monitor or an input where it says so, until its time", () => {
  assert.equal(isMuted(alertAbout("distance"), []), false);
  assert.equal(isMuted(alertAbout("distance"), [mute({})]), true);
  assert.equal(isMuted(alertAbout("distance"), [mute({ app: "other" })]), false);
  assert.equal(isMuted(alertAbout("distance"), [mute({ monitor: "drift" })]), true);
  assert.equal(isMuted(alertAbout("distance"), [mute({ monitor: "performance" })]), false);
  assert.equal(isMuted(alertAbout("distance"), [mute({ untilMs: 100 })]), false);
});

test("an alert about more than what is muted is told", () => {
  const distance = [mute({ subject: "distance" })];
  assert.equal(isMuted(alertAbout("distance"), distance), true);
  assert.equal(isMuted(alertAbout("distance", "prediction"), distance), true);
  assert.equal(isMuted(alertAbout("distance", "delay"), distance), false);
  assert.equal(isMuted(alertAbout("prediction"), distance), false);
  assert.equal(isMuted(alertAbout("distance", "delay"), [...distance, mute({ subject: "delay" })]), true);
});
