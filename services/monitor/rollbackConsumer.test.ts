import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { AlertState } from "@millrace/proto/millrace/monitor/v1/alert_pb.ts";
import { ModelEventSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { stepOf } from "./rollbackConsumer.ts";

const APP = "flights";

test("a roll-back that comes after the promotion that followed it, as after a crash, is no alert any more, nor does an old promotion end a new one", () => {
  const event = (what: string) =>
    create(ModelEventSchema, { app: APP, what, model: { number: 1 }, figures: { loss_increase: 1 } });
  const [promoted, rolledBack] = [event("promoted"), event("rolled_back")];
  const late = stepOf({ rolledBack: 0, promoted: 7, alert: undefined }, rolledBack, 5);
  assert.deepEqual(late, { rolledBack: 5, promoted: 7, alert: undefined });
  const open = stepOf({ rolledBack: 0, promoted: 0, alert: undefined }, rolledBack, 5)?.alert;
  assert.equal(open?.state, AlertState.OPEN);
  assert.equal(stepOf({ rolledBack: 5, promoted: 0, alert: open }, promoted, 4)?.alert, undefined);
  assert.equal(stepOf({ rolledBack: 5, promoted: 0, alert: open }, promoted, 6)?.alert?.state, AlertState.RESOLVED);
});
