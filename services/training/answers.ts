import { MillraceError } from "@millrace/runtime";

/** What a model answers to rows. Probabilities and sets of several classes are one array for each class. */
export type Answers =
  | { readonly kind: "binary"; readonly probabilities: Float64Array }
  | {
      readonly kind: "multiclass";
      readonly probabilities: readonly Float64Array[];
      /** 1 for each class that is likely enough. */
      readonly sets: readonly Uint8Array[];
    }
  | {
      readonly kind: "regression";
      readonly values: Float64Array;
      /** The interval's ends. */
      readonly lower: Float64Array;
      readonly upper: Float64Array;
    };

/** @throws `internal` for answers of another task */
export function probabilitiesOf(answers: Answers): Float64Array {
  if (answers.kind === "binary") return answers.probabilities;
  throw new MillraceError(
    "internal",
    `expected the probabilities of a binary model, not the answers of a ${answers.kind} one`,
  );
}

/** The answers to some of the rows. */
export function selectAnswers(answers: Answers, rows: ArrayLike<number>): Answers {
  const pick = (of: Float64Array): Float64Array => Float64Array.from(rows, (row) => of[row] as number);
  switch (answers.kind) {
    case "binary":
      return { kind: "binary", probabilities: pick(answers.probabilities) };
    case "multiclass":
      return {
        kind: "multiclass",
        probabilities: answers.probabilities.map(pick),
        sets: answers.sets.map((set) => Uint8Array.from(rows, (row) => set[row] as number)),
      };
    case "regression":
      return {
        kind: "regression",
        values: pick(answers.values),
        lower: pick(answers.lower),
        upper: pick(answers.upper),
      };
  }
}

/** The index of each row's most probable class; the first of several. */
export function mostProbable(probabilities: readonly Float64Array[]): Float64Array {
  return Float64Array.from({ length: probabilities[0]?.length ?? 0 }, (_, row) => {
    let best = 0;
    for (let label = 1; label < probabilities.length; label += 1) {
      if ((probabilities[label]?.[row] as number) > (probabilities[best]?.[row] as number)) best = label;
    }
    return best;
  });
}

/** One number for each row that tells how answers are distributed: the probability, the most probable class, or the value. */
export function summaryOf(answers: Answers): Float64Array {
  switch (answers.kind) {
    case "binary":
      return answers.probabilities;
    case "multiclass":
      return mostProbable(answers.probabilities);
    case "regression":
      return answers.values;
  }
}
