import type { ModelChange, Trial } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { ModelState } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { wrapText } from "../../alignedTable.ts";
import { moment, whole } from "../dataset/wording.ts";
import { stateOf } from "./modelText.ts";

const WIDTH = 120;

/** What happened to a version, oldest first, each with who and why. */
export function describeHistory(history: readonly ModelChange[]): string[] {
  if (history.length === 0) return [];
  const lines = history.flatMap((change) => [
    `  ${moment(change.changedAt)}  ${stateOf(change)}, by ${change.who}`,
    ...(change.why === "" ? [] : [wrapText(`    ${change.why}`, WIDTH, "    ")]),
  ]);
  return ["", "History", ...lines];
}

/** How far a version is on its way to champion, or a champion in its probation. */
export function describeTrial(trial: Trial | undefined): string[] {
  if (trial === undefined) return [];
  const { number, champion, stage, seen, needed, waiting, evidence } = trial;
  const units = stage === ModelState.SHADOW ? "answers" : "outcomes";
  const far = needed === 0n ? "" : `, ${whole(seen)} of ${whole(needed)} ${units}`;
  const word = waiting ? `; it waits for a person's word (models advance)` : "";
  const what =
    stage === ModelState.CHAMPION
      ? `Version ${number} is the champion, on probation beside version ${champion}, which serves again if it does better`
      : `Version ${number} is on its way to champion: ${stateOf({ state: stage })} beside version ${champion}`;
  return ["", `${what}${far}${word}.`, ...evidence.map((sentence) => wrapText(`  ${sentence}`, WIDTH, "    "))];
}
