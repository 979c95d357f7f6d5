import { durationToMs } from "@millrace/app";
import { decideRetraining, type OpenAlert, type TriggerName } from "../../../services/feedback/retrainingPolicy.ts";
import { AppWatch, emptyMemory } from "../../../services/monitor/appWatch.ts";
import { monitoringRules } from "../../../services/monitor/monitoringRules.ts";
import type { FlightHistory } from "./flightHistory.ts";
import type { Policy } from "./policies.ts";
import { answersOf, type BenchModel, firstAtOrAfter, train } from "./training.ts";

/** How often the policy is asked, event time. */
const STEP_MS = 3_600_000;
/** Answers are computed so far ahead. */
const AHEAD_MS = 7 * 86_400_000;

export interface Trained {
  readonly asOfMs: number;
  readonly trigger: TriggerName | "";
  readonly promoted: boolean;
}

export interface Served {
  /** Of each flight from the first model on, by the model that served when it was asked. */
  readonly probabilities: Float64Array;
  /** After the first. */
  readonly trainings: readonly Trained[];
}

export interface Period {
  /** When the first model, trained on what was known then, begins to serve. */
  readonly fromMs: number;
  readonly toMs: number;
}

export interface LoopOptions extends Period {
  readonly history: FlightHistory;
  readonly first: BenchModel;
  /** The history has every n-th flight. */
  readonly every: number;
  readonly tell: (what: string) => void;
}

/** One app's loop in event time: predictions, truth when it lands, alerts, decisions, trainings, promotions. */
export async function runLoop(policy: Policy, options: LoopOptions): Promise<Served> {
  const loop = new Loop(policy, options);
  for (let nowMs = options.fromMs; nowMs < options.toMs; nowMs += STEP_MS) {
    await loop.serve(nowMs, nowMs + STEP_MS);
    await loop.decide(nowMs + STEP_MS);
  }
  return { probabilities: loop.probabilities, trainings: loop.trainings };
}

class Loop {
  readonly probabilities: Float64Array;
  readonly trainings: Trained[] = [];
  readonly #policy: Policy;
  readonly #options: LoopOptions;
  readonly #watch: AppWatch;
  readonly #models = new Map<string, BenchModel>();
  readonly #alerts = new Map<string, OpenAlert>();
  readonly #byLanding: Uint32Array;
  readonly #labelWaitMs: number;
  /** Of each flight from the first model on, the number of the model that answered. */
  readonly #answeredBy: Uint32Array;
  readonly #begin: number;
  #landed = 0;
  #champion: BenchModel;
  #answeredUntil: number;
  #answeredTo = 0;
  #lastJob: { readonly id: string; readonly asOfMs: number; readonly running: boolean; readonly labelsThen: number };

  constructor(policy: Policy, options: LoopOptions) {
    const { history, first, fromMs, toMs, every } = options;
    this.#policy = policy;
    this.#options = options;
    this.#champion = first;
    this.#labelWaitMs = durationToMs(policy.app.app.label?.wait) ?? Infinity;
    this.#models.set(first.watched.version, first);
    this.#watch = new AppWatch(
      monitoringRules(policy.app.app),
      emptyMemory(),
      (version) => this.#models.get(version)?.watched,
    );
    this.#begin = firstAtOrAfter(history.atMs, fromMs);
    this.#answeredUntil = this.#begin;
    const count = firstAtOrAfter(history.atMs, toMs) - this.#begin;
    this.probabilities = new Float64Array(count);
    this.#answeredBy = new Uint32Array(count);
    const { landedMs } = history;
    this.#byLanding = Uint32Array.from(landedMs.keys()).sort(
      (left, right) => (landedMs[left] as number) - (landedMs[right] as number) || left - right,
    );
    while ((landedMs[this.#byLanding[this.#landed] as number] as number) < fromMs) this.#landed += 1;
    this.#lastJob = { id: "first", asOfMs: first.asOfMs, running: false, labelsThen: this.#landed * every };
  }

  /** What happens in [fromMs, toMs): flights are asked about, others land, windows end. */
  async serve(fromMs: number, toMs: number): Promise<void> {
    const { history } = this.#options;
    const [begin, end] = [firstAtOrAfter(history.atMs, fromMs), firstAtOrAfter(history.atMs, toMs)];
    if (end > this.#answeredTo) await this.#answerAhead(begin, fromMs);
    const { version } = this.#champion.watched;
    for (let row = begin; row < end; row += 1) {
      const index = row - this.#begin;
      this.#answeredBy[index] = this.#champion.number;
      this.#watch.addPrediction({
        id: "",
        version,
        atMs: history.atMs[row] as number,
        features: history.columns.map((column) => column[row] as number),
        probability: this.probabilities[index] as number,
        byModel: true,
        fallback: false,
      });
    }
    this.#answeredUntil = end;
    this.#land(toMs);
    for (const change of this.#watch.advance(toMs, version)) {
      if (change.state === "resolved") this.#alerts.delete(change.id);
      else this.#alerts.set(change.id, change);
    }
    this.#watch.forgetOld();
    this.#watch.takeChanged();
  }

  async #answerAhead(begin: number, fromMs: number): Promise<void> {
    const { history, toMs } = this.#options;
    const end = firstAtOrAfter(history.atMs, Math.min(toMs, fromMs + AHEAD_MS));
    this.probabilities.set(await answersOf(this.#champion, history, begin, end), begin - this.#begin);
    this.#answeredTo = end;
  }

  #land(toMs: number): void {
    const { labels, atMs, landedMs } = this.#options.history;
    for (; this.#landed < this.#byLanding.length; this.#landed += 1) {
      const row = this.#byLanding[this.#landed] as number;
      const landed = landedMs[row] as number;
      if (landed >= toMs) return;
      const predictedAtMs = atMs[row] as number;
      const index = row - this.#begin;
      if (index < 0 || landed - predictedAtMs > this.#labelWaitMs) continue;
      this.#watch.addOutcome({
        version: `${this.#policy.app.app.app}/${this.#answeredBy[index]}`,
        predictedAtMs,
        probability: this.probabilities[index] as number,
        label: labels[row] as number,
        previousLabel: undefined,
      });
    }
  }

  /** Asks the policy; trains and promotes when it says so. */
  async decide(nowMs: number): Promise<void> {
    const { every, tell, history } = this.#options;
    const { rules, app, gated, name } = this.#policy;
    const { asOfMs, watched } = this.#champion;
    const labels = this.#landed * every;
    const decision = decideRetraining(rules, {
      app: app.app.app,
      eventTimeMs: nowMs,
      champion: { version: watched.version, asOfMs },
      labels,
      firstLabelAtMs: 0,
      asked: true,
      lastJob: this.#lastJob,
      trainedAtMs: [this.#options.first.asOfMs, ...this.trainings.map((training) => training.asOfMs)],
      alerts: [...this.#alerts.values()],
    });
    if (!decision.retrain) return;
    this.#lastJob = { id: `${decision.atMs}`, asOfMs: decision.atMs, running: false, labelsThen: labels };
    const next = this.#options.first.number + this.trainings.length + 1;
    const champion = gated ? this.#champion : undefined;
    const { maxRows } = this.#policy;
    const { model, accepted, verdict } = await train(history, app, decision.atMs, {
      number: next,
      champion,
      gated,
      maxRows,
    });
    this.trainings.push({ asOfMs: decision.atMs, trigger: decision.trigger, promoted: accepted });
    const what = accepted ? "serves" : "is rejected";
    tell(`${name}: ${day(decision.atMs)} ${decision.trigger}: ${model.algorithm} ${what}. ${verdict.at(-1)}`);
    if (!accepted) return;
    this.#champion = model;
    this.#models.set(model.watched.version, model);
    this.#answeredTo = this.#answeredUntil;
  }
}

const day = (ms: number): string => new Date(ms).toISOString().slice(0, 16).replace("T", " ");
