import type { Prediction } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { MadeBy } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import type { Clock } from "@millrace/runtime";
import { askModel } from "./askModel.ts";
import { inModelOrder } from "./fallback.ts";
import type { PredictCounts } from "./metrics.ts";
import { makeShadowPrediction } from "./prediction.ts";
import type { Recorder } from "./recorder.ts";
import type { ServedApp } from "./servedApp.ts";
import type { Share } from "./servedModel.ts";
import { inShare } from "./stableShare.ts";

/** A question that has been answered, for a version that will answer nobody. */
export interface Copied {
  readonly app: ServedApp;
  readonly shadow: Share;
  /** The app's features in the order of its names, or why there are none. */
  readonly features: Float64Array | string;
  /** What was answered. */
  readonly prediction: Prediction;
  /** The gateway has much to do: copies can be left out. */
  readonly busy: boolean;
}

export interface ShadowsOptions {
  readonly recorder: Pick<Recorder, "copy">;
  readonly counts: PredictCounts;
  readonly clock: Clock;
}

/** Nobody waits for a shadow; longer than this its answers say nothing about serving. */
const SHADOW_MS = 5_000;
/** Copies in hand at once; more are dropped. */
const MAX_IN_HAND = 512;
const NEVER = new AbortController().signal;

/** Asks shadows what the others were asked, after those have answered, and records what they say. */
export class Shadows {
  readonly #options: ShadowsOptions;
  #inHand = 0;
  #stopped = false;

  constructor(options: ShadowsOptions) {
    this.#options = options;
  }

  /** Every further copy is dropped. */
  stop(): void {
    this.#stopped = true;
  }

  /** Returns at once; drops the copy rather than have it wait. */
  ask(copied: Copied): void {
    const { app, shadow, features, prediction, busy } = copied;
    if (typeof features === "string" || !inShare(shadow.model.version, prediction.requestId, shadow.percent)) return;
    if (busy || this.#stopped || this.#inHand >= MAX_IN_HAND) {
      this.#options.counts.step(app.name, MadeBy.SHADOW, "dropped");
      return;
    }
    this.#inHand += 1;
    this.#answer(copied, features)
      // It does not fit the app's newest version.
      .catch(() => this.#options.counts.step(app.name, MadeBy.SHADOW, "misfit"))
      .finally(() => {
        this.#inHand -= 1;
      });
  }

  async #answer({ app, shadow, prediction }: Copied, appFeatures: Float64Array): Promise<void> {
    const { recorder, counts, clock } = this.#options;
    const { version, model } = shadow.model;
    const startedAt = clock.now();
    const features = inModelOrder(appFeatures, app.columns(model));
    const question = { features, by: startedAt + SHADOW_MS, fair: true, signal: NEVER, traceparent: "" };
    const said = await askModel(shadow.model, question, undefined, clock);
    if ("failure" in said) {
      counts.step(app.name, MadeBy.SHADOW, said.stoppedBy === "breaker" ? "breaker_open" : said.failure.code);
      return;
    }
    counts.step(app.name, MadeBy.SHADOW, "answered");
    const { answer } = said;
    const copy = makeShadowPrediction(
      prediction,
      app,
      { answer, modelVersion: version, features },
      clock.now() - startedAt,
    );
    recorder.copy(copy);
  }
}
