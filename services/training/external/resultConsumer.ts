import { fromJsonString } from "@bufbuild/protobuf";
import { type Bus, decode, done, type JsMsg, type Outcome, type RunningConsumer, reject } from "@millrace/bus";
import { type ExternalResult, ExternalResultSchema } from "@millrace/proto/millrace/training/v1/external_pb.ts";
import { describeError } from "@millrace/runtime";
import type { ExternalTasks } from "./externalTasks.ts";

/** Takes what trainers outside answer, and keeps it for the jobs that wait for it. */
export function consumeResults(
  bus: Bus,
  tasks: ExternalTasks,
  onFailure: (error: unknown) => void,
): Promise<RunningConsumer> {
  return bus.consume({
    stream: "TRAINING",
    durable: "training-results",
    filter: "training.results.>",
    maxBatch: 1,
    onFailure,
    handle: ([message]) => take(tasks, message as JsMsg),
  });
}

async function take(tasks: ExternalTasks, message: JsMsg): Promise<Outcome> {
  let result: ExternalResult;
  try {
    result = readResult(message);
  } catch (error) {
    return reject(`This is no result of a trainer: ${describeError(error)}`);
  }
  const trainer = message.subject.split(".").at(-1);
  if (result.id === "") return reject("A result needs the id of its job");
  // A user may be allowed to speak for one trainer only, by the subject.
  if (result.trainer !== trainer)
    return reject(`The result names the trainer "${result.trainer}", its subject "${trainer}"`);
  return (await tasks.answer(result)) ? done() : reject(`Nobody asked the trainer ${trainer} for the job ${result.id}`);
}

function readResult({ data, headers }: JsMsg): ExternalResult {
  const json = headers?.get("Content-Type")?.startsWith("application/json") ?? false;
  if (!json) return decode(ExternalResultSchema, data);
  return fromJsonString(ExternalResultSchema, Buffer.from(data).toString(), { ignoreUnknownFields: true });
}
