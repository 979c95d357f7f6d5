export { type JsMsg, type PubAck } from "@nats-io/jetstream";
export { type KV, type KvEntry, type KvWatchEntry } from "@nats-io/kv";
export { type ObjectStore } from "@nats-io/obj";
export { inBatchSpan } from "./batchSpan.ts";
export { ConfirmedPublisher } from "./confirmedPublisher.ts";
export { Bus, type BusConfig, connectBus, decode, type PublishOptions, readBusConfig } from "./connection.ts";
export { type ConsumerOptions, RunningConsumer } from "./consumer.ts";
export { KeyValueWatch, type KeyValueWatchOptions } from "./keyValueWatch.ts";
export { done, type Outcome, type RejectedPart, reject, retry, skip } from "./outcome.ts";
export { PipelinedPublisher } from "./pipelinedPublisher.ts";
export {
  acceptedSubject,
  alertSubject,
  eventSubject,
  featureBucket,
  labelQualitySubject,
  modelSubject,
  outcomeSubject,
  predictionSubject,
  qualitySubject,
  rejectedSubject,
  reviewSubject,
  trainerJobSubject,
  trainerResultSubject,
  trainingJobSubject,
} from "./subjects.ts";
export {
  KEY_VALUE_BUCKETS,
  OBJECT_STORES,
  type ProvisionOptions,
  provisionBus,
  STREAMS,
  type StreamDefinition,
} from "./topology.ts";
export { contextOf, linksTo, spanContextOf, type Traceparent, traceparentOf, within } from "./trace.ts";
export { makeWorkConsumer, type WorkConsumerOptions } from "./workConsumer.ts";
