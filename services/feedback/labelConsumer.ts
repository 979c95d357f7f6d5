import { decode, done, inBatchSpan, type JsMsg, linksTo, type Outcome } from "@millrace/bus";
import { AcceptedEventsSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import type { Joiner } from "./joiner.ts";
import type { Label, LabelRule } from "./labelRule.ts";

/** Handles an app's label events, which come in batches. `rule` answers the newest version's. */
export function handleLabels(joiner: Joiner, rule: () => LabelRule): (messages: readonly JsMsg[]) => Promise<Outcome> {
  return async (messages) => {
    const labels: Label[] = [];
    const current = rule();
    for (const message of messages) {
      for (const accepted of decode(AcceptedEventsSchema, message.data).events) {
        const label = current.labelOf(accepted);
        if (label !== undefined) labels.push(label);
      }
    }
    await inBatchSpan("join labels", linksTo(labels.map(({ traceparent }) => traceparent)), labels.length, () =>
      joiner.addLabels(current.app, labels),
    );
    return done();
  };
}
