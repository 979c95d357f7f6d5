import { Task } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { type Answer, mostProbable, taskOf } from "./answer.ts";
import type { ModelSignature } from "./modelSignature.ts";
import type { NumericArray, TensorValue } from "./tensor.ts";
import type { Outputs } from "./workers/messages.ts";

/** How the answer to a row is found in a registry model's outputs. */
export interface AnswerReader {
  /** Positions of the outputs that it reads. */
  readonly wanted: readonly number[];
  /** Undefined: what the model says is no answer. */
  read(outputs: Outputs, row: number): Answer | undefined;
  /** What the model says, and what it is not, for messages: `NaN, which is no probability`. */
  describe(outputs: Outputs, row: number): string;
}

/** An output of a registry model, [rows, columns]. */
export interface ExpectedOutput {
  readonly name: string;
  readonly datatype: "FP32" | "BOOL";
  readonly columns: number;
}

export type ReadableModel = Pick<ModelVersion, "task" | "classes" | "coverage">;

/** What every model of a task answers. */
export function expectedOutputs(model: ReadableModel): readonly ExpectedOutput[] {
  switch (taskOf(model)) {
    case Task.REGRESSION:
      return ["value", "lower", "upper"].map((name) => ({ name, datatype: "FP32", columns: 1 }));
    case Task.MULTICLASS: {
      const columns = model.classes.length;
      return [
        { name: "probabilities", datatype: "FP32", columns },
        { name: "prediction_set", datatype: "BOOL", columns },
      ];
    }
    default:
      return [{ name: "probability", datatype: "FP32", columns: 1 }];
  }
}

export function answerReader(model: ReadableModel, { outputs }: ModelSignature): AnswerReader {
  const wanted = expectedOutputs(model).map(({ name }) => outputs.findIndex((output) => output.name === name));
  switch (taskOf(model)) {
    case Task.REGRESSION:
      return valueReader(wanted as [number, number, number], model.coverage);
    case Task.MULTICLASS:
      return classReader(wanted as [number, number], model.classes.length);
    default:
      return probabilityReader(wanted as [number]);
  }
}

/** Of models that nobody asks for rows. */
export const NO_ROWS: AnswerReader = { wanted: [], read: () => undefined, describe: () => "nothing to a row" };

function probabilityReader(wanted: readonly [number]): AnswerReader {
  const [position] = wanted;
  return {
    wanted,
    read: (outputs, row) => {
      const probability = outputs[position]?.data[row];
      return typeof probability === "number" && probability >= 0 && probability <= 1 ? probability : undefined;
    },
    describe: (outputs, row) => `${outputs[position]?.data[row]}, which is no probability`,
  };
}

function valueReader(wanted: readonly [number, number, number], coverage: number): AnswerReader {
  const at = (outputs: Outputs, place: number, row: number) => outputs[wanted[place] as number]?.data[row] as number;
  return {
    wanted,
    read: (outputs, row) => {
      const [value, lower, upper] = [at(outputs, 0, row), at(outputs, 1, row), at(outputs, 2, row)];
      return Number.isFinite(value) && lower <= upper ? { value, interval: { lower, upper, coverage } } : undefined;
    },
    describe: (outputs, row) => {
      const [value, lower, upper] = [0, 1, 2].map((place) => at(outputs, place, row));
      return `${value} from ${lower} to ${upper}, which is no number with an interval`;
    },
  };
}

function classReader(wanted: readonly [number, number], classes: number): AnswerReader {
  const part = (outputs: Outputs, place: 0 | 1, row: number): NumericArray => {
    const { data } = outputs[wanted[place]] as TensorValue;
    return (data as NumericArray).slice(row * classes, (row + 1) * classes);
  };
  return {
    wanted,
    read: (outputs, row) => {
      const probabilities = part(outputs, 0, row) as Float32Array;
      const answer = {
        predicted: mostProbable(probabilities),
        probabilities,
        set: part(outputs, 1, row) as Uint8Array,
      };
      return probabilities.every((probability) => probability >= 0 && probability <= 1) ? answer : undefined;
    },
    describe: (outputs, row) => `${part(outputs, 0, row).join(", ")}, which are no probabilities`,
  };
}
