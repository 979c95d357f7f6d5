import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { type Bus, decode } from "@millrace/bus";
import { DeliverPolicy } from "@nats-io/jetstream";

/** Everything that a stream holds now, in order. */
export async function* streamMessages<Desc extends DescMessage>(
  bus: Bus,
  stream: string,
  filter: string,
  schema: Desc,
): AsyncGenerator<MessageShape<Desc>> {
  const { state } = await bus.manager.streams.info(stream, { subjects_filter: filter });
  let left = Object.values(state.subjects ?? {}).reduce((sum, count) => sum + count, 0);
  if (left === 0) return;
  const consumer = await bus.jetstream.consumers.get(stream, {
    filter_subjects: filter,
    deliver_policy: DeliverPolicy.All,
  });
  const messages = await consumer.consume({ max_messages: 500 });
  for await (const message of messages) {
    yield decode(schema, message.data);
    left -= 1;
    if (left === 0) break;
  }
  await messages.close();
}
