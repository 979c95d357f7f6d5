import { createHash } from "node:crypto";
import type { App } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { definitionsOf, labelDefinitionOf } from "./featureDefinitions.ts";
import type { DatasetRow } from "./labelJoin.ts";
import { textFieldsOf } from "./textFields.ts";

/** What makes a dataset the one it is, besides its rows. */
export interface DatasetDefinition {
  readonly app: App;
  readonly fromMs: number | undefined;
  readonly toMs: number | undefined;
  readonly knownBeforeMs: number | undefined;
}

/** SHA-256 over a dataset's definition and its rows, in order. */
export class ContentHash {
  readonly #hash = createHash("sha256");
  #numbers: Float64Array | undefined;

  constructor({ app, fromMs, toMs, knownBeforeMs }: DatasetDefinition) {
    const texts = textFieldsOf(app);
    const definition = {
      app: app.app,
      predictionAt: app.prediction?.at,
      features: definitionsOf(app).map(({ name, hash }) => [name, hash]),
      label: labelDefinitionOf(app)?.hash,
      holdout: app.model?.holdout,
      range: [fromMs, toMs, knownBeforeMs],
      // Absent where there are none, as before there were any.
      texts: texts.length > 0 ? texts : undefined,
    };
    this.#hash.update(JSON.stringify(definition));
  }

  add({ key, occurredAtMs, features, label, texts = [] }: DatasetRow): void {
    const numbers = (this.#numbers ??= new Float64Array(features.length + 2));
    numbers[0] = occurredAtMs;
    numbers[1] = label;
    numbers.set(features, 2);
    // A key ends where its length says, so that no two rows look like one.
    this.#hash.update(`${key.length}:${key}`);
    this.#hash.update(new Uint8Array(numbers.buffer));
    for (const text of texts) this.#hash.update(text === undefined ? "-" : `${text.length}:${text}`);
  }

  digest(): string {
    return this.#hash.digest("hex");
  }
}
