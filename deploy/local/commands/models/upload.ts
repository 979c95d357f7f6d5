import { userInfo } from "node:os";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { toJsonString } from "@bufbuild/protobuf";
import { ModelState, ModelVersionSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import type {
  QuantizeOptionsSchema,
  UploadHeaderSchema,
  UploadProgress,
  UploadResult,
} from "@millrace/proto/millrace/training/v1/registry_service_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { ProgressLine } from "../dataset/progressLine.ts";
import { percent, size } from "../dataset/wording.ts";
import { type ModelFile, messagesOf, openModelFile } from "./modelFile.ts";
import { nameOf, stateOf } from "./modelText.ts";
import { connectRegistry } from "./registryClient.ts";

const text = { type: "string" } as const;
const OPTIONS = {
  app: text,
  columns: text,
  author: text,
  trainer: text,
  notes: text,
  quantize: text,
  "max-loss": text,
  "max-difference": text,
  json: { type: "boolean" },
} as const;

type Header = Omit<MessageInitShape<typeof UploadHeaderSchema>, "$typeName" | "sha256" | "bytes">;

/** Brings a model that was made elsewhere. */
export const modelsUpload: Command = {
  name: "models upload",
  usage: "<file.onnx> --app <app> [--columns a,b,c] [--quantize int8 [--max-loss 0.002]] [--author …] [--notes …]",
  what: "bring an ONNX model that was made elsewhere: checked, judged by the app's gates, registered",
  details: `  <file.onnx>              takes the features as float32 [rows, n] and answers the probability as float32 [rows, 1], [rows] or [rows, 2];
                           from scikit-learn: to_onnx(…, options={"zipmap": False})
  --app <app>              the app that it is for
  --columns <a,b,c>        the app's features that its columns are, in their order; default: those that the file's metadata name
                           (millrace.features, a JSON array), else all of the app's by name
  --author <name>          who takes responsibility for it; default: you
  --trainer <text>         what made it, such as "scikit-learn 1.7, MLPClassifier"
  --notes <text>           why it was made
  --quantize int8          serve its large dense layers in int8, if that is within the bound and faster at the app's batch size
  --max-loss <number>      by so much the app's metric may get worse in int8; default 0.002
  --max-difference <number>   by so much a probability may differ in int8 where the app has no labels yet; default 0.02
  --json                   the whole registered version, for programs

It is judged on the newest rows of the app's newest dataset, on the same rows as the champion, and serves when it is better. The same file with
the same columns and bounds is registered once. The exit status is 1 when the gates reject it.`,
  async run(commandArguments) {
    const { values, positionals } = readOptions({
      args: [...commandArguments],
      options: OPTIONS,
      allowPositionals: true,
    });
    const [path, ...more] = positionals;
    if (path === undefined || more.length > 0) {
      throw new MillraceError(
        "invalid_argument",
        "models upload takes one <file.onnx>; see npm run millrace -- models upload --help",
      );
    }
    const header = readHeader(values);
    const { model, knownBefore } = await upload(await openModelFile(path), header);
    if (model === undefined) throw new MillraceError("internal", "The training service ended without a model");
    const before = knownBefore ? "was uploaded before as" : "is registered as";
    console.log(
      values.json === true
        ? toJsonString(ModelVersionSchema, model, { prettySpaces: 2 })
        : [
            `${path} ${before} ${nameOf(model)}: ${stateOf(model)}`,
            ...model.verdict.map((sentence) => `  ${sentence}`),
            "",
            `npm run millrace -- models show ${nameOf(model)}    all that is known of it`,
          ].join("\n"),
    );
    return model.state === ModelState.REJECTED ? 1 : 0;
  },
};

type Values = Readonly<Partial<Record<keyof typeof OPTIONS, string | boolean>>>;

/** @throws `invalid_argument` naming the option, the rule and the value */
export function readHeader(values: Values): Header {
  const given = (name: keyof typeof OPTIONS): string => String(values[name] ?? "");
  if (given("app") === "") {
    throw new MillraceError("invalid_argument", "models upload needs --app; npm run millrace -- apps lists them");
  }
  const columns =
    values.columns === undefined
      ? []
      : given("columns")
          .split(",")
          .map((name) => name.trim());
  if (columns.includes("")) {
    throw new MillraceError(
      "invalid_argument",
      `--columns must be names with commas between them, not "${given("columns")}"`,
    );
  }
  const quantize = readQuantize(values);
  return {
    app: given("app"),
    columns,
    author: given("author") || userInfo().username,
    trainer: given("trainer"),
    notes: given("notes"),
    ...(quantize === undefined ? {} : { quantize }),
  };
}

function readQuantize(values: Values): MessageInitShape<typeof QuantizeOptionsSchema> | undefined {
  const { quantize } = values;
  const bounds = (["max-loss", "max-difference"] as const).filter((name) => values[name] !== undefined);
  if (quantize === undefined) {
    if (bounds.length === 0) return undefined;
    throw new MillraceError("invalid_argument", `--${bounds[0]} says when int8 serves; add --quantize int8`);
  }
  if (quantize !== "int8") {
    throw new MillraceError("invalid_argument", `--quantize must be int8, which is all there is, not "${quantize}"`);
  }
  const [maxLoss, maxDifference] = (["max-loss", "max-difference"] as const).map((name) =>
    readBound(name, values[name]),
  );
  return { ...(maxLoss === undefined ? {} : { maxLoss }), ...(maxDifference === undefined ? {} : { maxDifference }) };
}

function readBound(name: string, value: string | boolean | undefined): number | undefined {
  if (value === undefined) return undefined;
  const bound = value === "" ? Number.NaN : Number(value);
  if (bound >= 0 && bound <= 1) return bound;
  throw new MillraceError("invalid_argument", `--${name} must be a number from 0 to 1, not "${value}"`);
}

async function upload(file: ModelFile, header: Header): Promise<UploadResult> {
  using registry = connectRegistry();
  using progress = new ProgressLine();
  for await (const { step } of registry.uploadModel(messagesOf(file, header))) {
    if (step.case === "result") return step.value;
    if (step.case === "progress") progress.show(wordsOf(step.value, file));
  }
  throw new MillraceError("internal", "The training service ended the upload without a result");
}

const STAGES = new Map([
  ["checking", "checking whether it can be served"],
  ["waiting", "waiting for another training to end"],
  ["judging", "judging it on the app's newest dataset"],
]);

function wordsOf({ stage, bytesReceived }: UploadProgress, { bytes }: ModelFile): string {
  const known = STAGES.get(stage);
  return known ?? `${size(bytesReceived)} of ${size(BigInt(bytes))} uploaded (${percent(bytesReceived, bytes)})`;
}
