import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { outcomeSubject, predictionSubject } from "@millrace/bus";
import { OutcomesSchema } from "@millrace/proto/millrace/feedback/v1/outcome_pb.ts";
import {
  type MadeBy,
  PredictionSchema,
  PredictionsSchema,
} from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { waitFor } from "@millrace/test-harness";
import { APP, AS_OF_MS, type TestTraining } from "./serviceForTests.ts";

/** Who answers a question, and what, given its truth. */
export interface Said {
  readonly by: MadeBy;
  readonly version: number;
  readonly probability?: (label: number) => number;
  readonly reason?: string;
}

/** A model that knows something, and one that has it the wrong way round. */
export const good = (label: number): number => 0.3 + 0.4 * label;
export const bad = (label: number): number => 0.7 - 0.4 * label;

/** The answers and outcomes by which trials are decided, published as the gateway and the feedback service would. */
export class TrialQuestions {
  readonly #training: TestTraining;
  #asked = 0;

  constructor(training: TestTraining) {
    this.#training = training;
  }

  /** Asks questions of which each is answered as `said` tells, once for each; the truth is known of the first answer. */
  async ask(questions: number, said: readonly Said[], { labelled = true } = {}): Promise<void> {
    const { connection } = this.#training.bus;
    const outcomes = [];
    for (let question = 0; question < questions; question += 1) {
      this.#asked += 1;
      const asked = this.#asked;
      const label = asked % 2;
      for (const [place, { by, version, probability = () => 0.5, reason = "" }] of said.entries()) {
        const prediction = create(PredictionSchema, {
          id: `p-${asked}-${place}`,
          app: APP,
          requestId: `r-${asked}`,
          occurredAt: timestampFromMs(AS_OF_MS + asked * 1_000),
          probability: probability(label),
          modelVersion: `${APP}/${version}`,
          madeBy: by,
          reason,
        });
        const message = create(PredictionsSchema, { predictions: [prediction] });
        connection.publish(predictionSubject(APP), toBinary(PredictionsSchema, message));
        if (labelled && place === 0) {
          const { id: predictionId, modelVersion, madeBy, occurredAt } = prediction;
          outcomes.push({
            predictionId,
            app: APP,
            label,
            modelVersion,
            madeBy,
            probability: prediction.probability,
            predictedAt: occurredAt,
          });
        }
      }
    }
    const batch = create(OutcomesSchema, { batchId: `b-${this.#asked}`, outcomes });
    // Before the predictions have all been read: both orders are right.
    if (outcomes.length > 0) connection.publish(outcomeSubject(APP), toBinary(OutcomesSchema, batch));
    await connection.flush();
  }

  /** Waits until the service reads predictions and outcomes. */
  async reading(): Promise<void> {
    await waitFor(async () => {
      const consumers = await Promise.all(
        ["PREDICTIONS", "OUTCOMES"].map((stream) =>
          this.#training.bus.manager.consumers.info(stream, "training-trials").then(
            () => true,
            () => false,
          ),
        ),
      );
      return consumers.every(Boolean);
    });
  }
}
