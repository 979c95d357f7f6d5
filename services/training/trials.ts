import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Promotion, PromotionSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { ModelEventSchema, ModelState, type ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { inState, nameOf, promote, type Switch } from "./promotion.ts";
import {
  firstStage,
  judgeCanary,
  judgeShadow,
  LOOKS,
  looksDue,
  neededOf,
  promotionPolicy,
  type Stage,
  type StageVerdict,
  stageAfter,
} from "./promotionPolicy.ts";
import type { Change, RegistryTransaction } from "./registryTransaction.ts";
import { policyOf, type TrialRow } from "./trialRow.ts";

/**
 * The way of a candidate that passed its gates: its stages, one candidate of an app at a time. A newer candidate waits (`queued`) until the
 * one before it has come to an end, or evidence would never be complete where candidates come often; of several that wait the newest is
 * kept. It begins when the champion that it beat still serves. Otherwise it retires: it was never compared with the new one, and the next
 * training is. While the one before it has not begun, for want of a person's word, the newer takes its place.
 *
 * When a person changes the champion meanwhile, the trial begins again, against the new one.
 */
export class Trials {
  readonly #changes: RegistryTransaction;
  readonly #change: Change;
  readonly #traceparent: string;

  /** All of it is one transaction, by whom and why `change` says. */
  constructor(changes: RegistryTransaction, change: Change, traceparent: string) {
    this.#changes = changes;
    this.#change = change;
    this.#traceparent = traceparent;
  }

  /** Whether a version has a way to go at all, or serves at once: where nothing serves there is nothing to compare with. */
  static hasSteps(promotion: Promotion | undefined): boolean {
    return firstStage(promotionPolicy(promotion)).stage !== "champion";
  }

  /** Lets a version begin its way, or wait for its turn. */
  async begin(version: ModelVersion, champion: number, promotion: Promotion | undefined): Promise<void> {
    const { app, number } = version;
    const policy = toBinary(PromotionSchema, promotion ?? create(PromotionSchema));
    const before = await this.#changes.trial(app);
    if (before?.number === number) throw onItsWay(version);
    const trial = { app, number, champion, policy, sinceMs: this.#change.eventTimeMs };
    if (before !== undefined && before.stage !== "candidate") {
      const queued = await this.#changes.trial(app, true);
      if (queued !== undefined && queued.number !== number)
        await this.#retire(queued, `A newer candidate, ${nameOf(version)}, waits in its place.`);
      await this.#changes.setTrial({ ...trial, stage: "queued", waiting: false });
      await this.#note(
        inState(version, ModelState.CANDIDATE),
        `It waits until ${app}/${before.number} has come to the end of its way.`,
      );
      return;
    }
    if (before !== undefined) await this.#retire(before, `A newer candidate, ${nameOf(version)}, takes its place.`);
    await this.#start(version, champion, policy);
  }

  /** Another version was made the champion, not by the trial: what is on its way begins again, or is at its end. */
  async afterSwitch(app: string, champion: number): Promise<void> {
    for (const queued of [false, true]) {
      const trial = await this.#changes.trial(app, queued);
      if (trial === undefined) continue;
      if (trial.number === champion) {
        await this.#changes.endTrial(trial);
      } else if (!queued) {
        const version = await this.#version(trial);
        await this.#start(
          version,
          champion,
          trial.policy,
          `${app}/${champion} was made the champion: it begins again, compared with that.`,
        );
      }
    }
    if ((await this.#changes.trial(app)) === undefined) await this.#startQueued(app);
  }

  /** A person's word: the next step, whatever the evidence. */
  async advance(version: ModelVersion, from: ModelState): Promise<void> {
    const trial = await this.#changes.trial(version.app);
    if (trial?.number !== version.number) {
      throw new MillraceError(
        "failed_precondition",
        `${nameOf(version)} is not on its way to champion (model.promotion); promote it to make it the champion at once`,
      );
    }
    if (from !== ModelState.UNSPECIFIED && from !== version.state) return;
    await this.#step(trial, { evidence: [this.#change.why], figures: {} });
  }

  /** Looks at the evidence of the trial that there is now, and does what follows from it. */
  async look(app: string): Promise<void> {
    const trial = await this.#changes.trial(app);
    if (trial === undefined || trial.waiting || trial.stage === "queued" || trial.stage === "candidate") return;
    const policy = policyOf(trial);
    const evidence = this.#changes.evidence();
    const due = looksDue(await evidence.seen(trial), neededOf(policy, trial.stage));
    const look = due > trial.looks ? due : 0;
    const verdict =
      trial.stage === "shadow"
        ? judgeShadow(policy, await evidence.shadow(trial), look)
        : judgeCanary(policy, await evidence.canary(trial), look);
    if (verdict.kind === "reject") await this.#reject(trial, verdict);
    else if (verdict.kind === "pass" && policy.byPerson) await this.#wait(trial, verdict);
    else if (verdict.kind === "pass") await this.#step(trial, verdict);
    else if (look > 0)
      await this.#changes.noteLook(trial, { looks: due, waiting: false, evidence: [...verdict.evidence] });
  }

  /** Takes a version off its way; nothing happens to one that is not on it. */
  async stop(version: ModelVersion): Promise<void> {
    const { app, number } = version;
    for (const queued of [false, true]) {
      const trial = await this.#changes.trial(app, queued);
      if (trial?.number === number) await this.#changes.endTrial(trial);
    }
    if ((await this.#changes.trial(app)) === undefined) await this.#startQueued(app);
  }

  async #start(version: ModelVersion, champion: number, policy: Uint8Array, why?: string): Promise<void> {
    const { stage, waiting } = firstStage(policyOf({ policy }));
    if (stage === "champion") return this.#promote(version, {});
    await this.#enter(version, { champion, policy, stage, waiting }, [why ?? wordsOf(stage, policy)], {});
  }

  /** The next stage, or the end of the way. */
  async #step(trial: TrialRow, { evidence, figures }: Pick<StageVerdict, "evidence" | "figures">): Promise<void> {
    const version = await this.#version(trial);
    const next = stageAfter(policyOf(trial), trial.stage as Stage);
    if (next !== "champion") {
      await this.#enter(
        version,
        { ...trial, stage: next, waiting: false },
        [...evidence, wordsOf(next, trial.policy)],
        figures,
      );
      return;
    }
    await this.#changes.endTrial(trial);
    await this.#promote(version, figures, evidence);
    await this.#startQueued(trial.app);
  }

  async #promote(version: ModelVersion, figures: Change["figures"], evidence: readonly string[] = []): Promise<void> {
    const reason = evidence.length === 0 ? this.#change.why : evidence.join(" ");
    const current = await this.#changes.deployment(version.app);
    const next = promote(current, version, { sinceMs: this.#change.eventTimeMs, reason });
    await this.apply(next, { ...this.#change, why: reason, figures: figures ?? {} });
    await this.send("promoted", inState(version, ModelState.CHAMPION), reason);
  }

  /** Writes who serves, and the states that change with it. */
  async apply({ deployment, changed }: Switch, change: Change = this.#change): Promise<void> {
    for (const version of changed) await this.#changes.setState(version, change);
    await this.#changes.setDeployment(deployment);
  }

  async #enter(
    version: ModelVersion,
    trial: Pick<TrialRow, "champion" | "policy" | "waiting"> & { readonly stage: Stage },
    evidence: readonly string[],
    figures: Change["figures"],
  ): Promise<void> {
    const { champion, policy, stage, waiting } = trial;
    const { app, number } = version;
    await this.#changes.setTrial({ app, number, champion, policy, stage, waiting, sinceMs: this.#change.eventTimeMs });
    const entered = inState(version, STATES[stage]);
    await this.#note(entered, evidence.join(" "), figures);
    await this.send(waiting ? "waiting" : stage, entered, evidence.join(" "));
  }

  async #wait(trial: TrialRow, { evidence, figures }: StageVerdict): Promise<void> {
    await this.#changes.noteLook(trial, { looks: LOOKS, waiting: true, evidence: [...evidence] });
    const version = await this.#version(trial);
    const why = `${evidence.join(" ")} It waits for a person's word.`;
    await this.#note(version, why, figures);
    await this.send("waiting", version, why);
  }

  async #reject(trial: TrialRow, { evidence, figures }: StageVerdict): Promise<void> {
    await this.#changes.endTrial(trial);
    const version = inState(await this.#version(trial), ModelState.REJECTED);
    await this.#note(version, evidence.join(" "), figures);
    await this.send("rejected", version, evidence.join(" "));
    await this.#startQueued(trial.app);
  }

  async #retire(trial: TrialRow, why: string): Promise<void> {
    await this.#changes.endTrial(trial);
    const version = inState(await this.#version(trial), ModelState.RETIRED);
    await this.#note(version, why);
    await this.send("retired", version, why);
  }

  async #startQueued(app: string): Promise<void> {
    const queued = await this.#changes.trial(app, true);
    if (queued === undefined) return;
    const champion = (await this.#changes.deployment(app))?.champion?.number;
    if (champion !== queued.champion) {
      await this.#retire(
        queued,
        `The champion that it was compared with, ${app}/${queued.champion}, no longer serves; the next training is compared with the one that does.`,
      );
      return;
    }
    await this.#start(await this.#version(queued), queued.champion, queued.policy);
  }

  #note(version: ModelVersion, why: string, figures: Change["figures"] = {}): Promise<void> {
    return this.#changes.setState(version, { ...this.#change, why, figures: figures ?? {} });
  }

  async send(what: string, model: ModelVersion, reason: string): Promise<void> {
    const { eventTimeMs, nowMs } = this.#change;
    const id = `${nameOf(model)}/${what}/${nowMs}`;
    const { app, jobId } = model;
    const occurredAt = timestampFromMs(eventTimeMs);
    await this.#changes.sendEvent(
      create(ModelEventSchema, { id, app, what, model, reason, jobId, occurredAt }),
      this.#traceparent,
    );
  }

  async #version({ app, number }: TrialRow): Promise<ModelVersion> {
    const version = await this.#changes.model(app, number);
    if (version === undefined)
      throw new MillraceError("internal", `The version ${app}/${number} on its way is not there`);
    return version;
  }
}

const STATES: Readonly<Record<Stage, ModelState>> = {
  candidate: ModelState.CANDIDATE,
  shadow: ModelState.SHADOW,
  canary: ModelState.CANARY,
};

function wordsOf(stage: Stage, policyBytes: Uint8Array): string {
  const { shadow, canary } = policyOf({ policy: policyBytes });
  if (stage === "shadow") return `It is asked beside the champion for ${shadow?.predictions} predictions.`;
  if (stage === "canary")
    return `It answers for ${canary?.percent} % of the entities until ${canary?.outcomes} outcomes are known.`;
  return "It passed its gates, and waits for a person's word.";
}

const onItsWay = (version: ModelVersion): MillraceError =>
  new MillraceError(
    "failed_precondition",
    `${nameOf(version)} is on its way to champion already; advance it to let it take its next step`,
  );
