import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ModelRepositoryParameter } from "@millrace/proto/inference/grpc_service_pb.ts";
import { describeError, type Logger, MillraceError } from "@millrace/runtime";
import type { LoadedModel } from "./loadedModel.ts";
import type { ModelDirectory } from "./modelDirectory.ts";
import type { ModelLoader } from "./modelLoader.ts";
import { readModelConfig } from "./repositoryConfig.ts";

/** Whether callers may load and unload models, as Triton's `--model-control-mode`. */
export type ModelControl = "none" | "explicit";

export interface ModelRepositoryOptions {
  readonly loader: ModelLoader;
  readonly directory: ModelDirectory;
  readonly control: ModelControl;
  /** Layout `<name>/<version>/model.onnx`; undefined: none. */
  readonly folder: string | undefined;
  /** Of the ONNX files of loaded models, together. */
  readonly maxBytes: number;
  /** Apps without a model, and why: they are listed, too. */
  readonly absent: () => Iterable<{ readonly name: string; readonly reason: string }>;
  readonly isApp: (name: string) => boolean;
  readonly logger: Logger;
}

export interface IndexEntry {
  readonly name: string;
  readonly version: string;
  readonly state: "READY" | "LOADING" | "UNAVAILABLE";
  readonly reason: string;
}

interface Entry {
  readonly versions: Map<string, { readonly model: LoadedModel; readonly bytes: number }>;
  loading: boolean;
  /** Of the last load; empty when that went well. */
  problem: string;
}

type Files = ReadonlyMap<string, Uint8Array>;

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const VERSION = /^[1-9][0-9]{0,17}$/;
const FILE_PARAMETER = /^file:([^/]+)\/model\.onnx$/;
const MODEL_FILE = "model.onnx";
const MAX_MODELS = 1_000;

/** Models that no app uses: from a folder, or sent by callers. They serve under names of their own. */
export class ModelRepository {
  readonly #options: ModelRepositoryOptions;
  readonly #entries = new Map<string, Entry>();
  /** One change at a time. */
  #last: Promise<void> = Promise.resolve();

  constructor(options: ModelRepositoryOptions) {
    this.#options = options;
  }

  /** Loads what is in the folder; a model that cannot be served is logged and listed with its reason. */
  async start(): Promise<void> {
    const { folder, logger } = this.#options;
    if (folder === undefined) return;
    for (const name of (await readdir(folder)).sort()) {
      if (!NAME.test(name) || !(await stat(join(folder, name))).isDirectory()) continue;
      await this.#change(() => this.#loadFolder(name, folder)).catch((error: unknown) =>
        logger.error({ err: error, model: name }, `${name} of ${folder} is not served: ${describeError(error)}`),
      );
    }
  }

  /** Every model, whether it can be asked or not. */
  index(): IndexEntry[] {
    const ready = [...this.#options.directory.all()].map(
      ({ name, version }): IndexEntry => ({ name, version, state: "READY", reason: "" }),
    );
    const others: IndexEntry[] = [];
    for (const [name, { loading, problem, versions }] of this.#entries) {
      if (loading) others.push({ name, version: "", state: "LOADING", reason: "" });
      else if (problem !== "" && versions.size === 0) {
        others.push({ name, version: "", state: "UNAVAILABLE", reason: problem });
      }
    }
    for (const { name, reason } of this.#options.absent()) {
      others.push({ name, version: "", state: "UNAVAILABLE", reason });
    }
    return [...ready, ...others];
  }

  /**
   * Loads a model: the files among the parameters, or else what the folder has under its name. The new one takes over from an
   * older one of its name without a failed call.
   *
   * @throws `failed_precondition` when callers may not, or the model cannot be served; `invalid_argument` for parameters that say
   *   something else; `not_found` when the folder has no such model; `resource_exhausted` beyond the memory allowed.
   */
  async load(name: string, parameters: Readonly<Record<string, ModelRepositoryParameter>>): Promise<void> {
    this.#checkControl();
    this.#checkName(name);
    const files = filesOf(parameters);
    const config = textOf(parameters, "config");
    const { folder } = this.#options;
    await this.#change(async () => {
      if (files.size > 0) await this.#replace(name, files, config);
      else if (folder !== undefined) await this.#loadFolder(name, folder, config);
      else {
        const advice = 'send the model itself as the parameter "file:1/model.onnx", or set MODEL_REPOSITORY';
        throw new MillraceError("not_found", `there is no folder to load "${name}" from; ${advice}`);
      }
    });
  }

  /** Resolves once the model's last answers are given. @throws `not_found`, `failed_precondition` */
  async unload(name: string): Promise<void> {
    this.#checkControl();
    this.#checkName(name);
    await this.#change(async () => {
      const entry = this.#entries.get(name);
      if (entry === undefined) throw new MillraceError("not_found", `no model "${name}" is in the repository`);
      this.#entries.delete(name);
      await this.#unloadAll([...entry.versions.values()].map(({ model }) => model));
    });
  }

  #change(change: () => Promise<void>): Promise<void> {
    const changed = this.#last.then(change);
    this.#last = changed.catch(() => undefined);
    return changed;
  }

  #checkControl(): void {
    if (this.#options.control === "explicit") return;
    const advice = "set MODEL_CONTROL=explicit to allow it";
    throw new MillraceError("failed_precondition", `callers may not load or unload models here; ${advice}`);
  }

  #checkName(name: string): void {
    if (!NAME.test(name)) {
      const rule = "1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit";
      throw new MillraceError("invalid_argument", `model_name: expected ${rule}, got "${name.slice(0, 150)}"`);
    }
    if (this.#options.isApp(name)) {
      const advice = "its versions come and go with its deployment; choose another name";
      throw new MillraceError("failed_precondition", `"${name}" is an app: ${advice}`);
    }
  }

  async #loadFolder(name: string, folder: string, config = ""): Promise<void> {
    const files = new Map<string, Uint8Array>();
    const path = join(folder, name);
    const versions = await readdir(path).catch((cause: unknown) => {
      throw new MillraceError("not_found", `${folder} has no model "${name}"`, { cause });
    });
    for (const version of versions) {
      if (VERSION.test(version)) files.set(version, await readModelFile(join(path, version, MODEL_FILE)));
    }
    if (files.size === 0) throw new MillraceError("not_found", `${path} has no <version>/${MODEL_FILE}`);
    await this.#replace(name, files, config);
  }

  async #replace(name: string, files: Files, config: string): Promise<void> {
    const { loader, logger } = this.#options;
    const options = readModelConfig(config);
    this.#checkRoom(name, files);
    const before = this.#entries.get(name);
    const entry: Entry = before ?? { versions: new Map(), loading: false, problem: "" };
    this.#entries.set(name, entry);
    entry.loading = true;
    const loaded: LoadedModel[] = [];
    try {
      for (const [version, onnx] of files) loaded.push(await loader.loadModel({ name, version, onnx, ...options }));
      entry.problem = "";
    } catch (error) {
      entry.problem = describeError(error);
      // What served goes on, with no moment in between.
      for (const { model } of entry.versions.values()) this.#options.directory.add(model);
      await this.#unloadAll(loaded);
      const code = error instanceof MillraceError && error.code !== "internal" ? error.code : "failed_precondition";
      throw new MillraceError(code, `"${name}" cannot be served: ${describeError(error)}`, { cause: error });
    } finally {
      entry.loading = false;
    }
    const old = [...entry.versions.values()].map(({ model }) => model);
    entry.versions.clear();
    for (const model of loaded) {
      entry.versions.set(model.version, { model, bytes: files.get(model.version)?.byteLength ?? 0 });
    }
    await this.#unloadAll(old);
    logger.info({ model: name, versions: [...files.keys()] }, `${name} is loaded`);
  }

  #checkRoom(name: string, files: Files): void {
    const { maxBytes } = this.#options;
    let bytes = 0;
    for (const file of files.values()) bytes += file.byteLength;
    for (const [other, { versions }] of this.#entries) {
      if (other !== name) for (const version of versions.values()) bytes += version.bytes;
    }
    if (bytes > maxBytes || this.#entries.size >= MAX_MODELS) {
      const limits = `at most ${MAX_MODELS} models of ${maxBytes} bytes together (MODEL_REPOSITORY_MIB)`;
      throw new MillraceError("resource_exhausted", `"${name}" does not fit: ${limits}; unload others first`);
    }
  }

  async #unloadAll(models: readonly LoadedModel[]): Promise<void> {
    for (const model of models) await this.#options.loader.unloadModel(model);
  }
}

async function readModelFile(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new MillraceError("failed_precondition", `${path} cannot be read: ${describeError(cause)}`, { cause });
  }
}

function filesOf(parameters: Readonly<Record<string, ModelRepositoryParameter>>): Files {
  const files = new Map<string, Uint8Array>();
  for (const [name, { parameterChoice }] of Object.entries(parameters)) {
    if (!name.startsWith("file:")) continue;
    const version = FILE_PARAMETER.exec(name)?.[1] ?? "";
    if (!VERSION.test(version) || parameterChoice.case !== "bytesParam") {
      const expected = 'expected "file:<version>/model.onnx" with the model in bytes_param';
      throw new MillraceError("invalid_argument", `parameter "${name.slice(0, 150)}": ${expected}`);
    }
    // A copy of its own: the message that it is a part of can go.
    files.set(version, new Uint8Array(parameterChoice.value));
  }
  return files;
}

function textOf(parameters: Readonly<Record<string, ModelRepositoryParameter>>, name: string): string {
  const choice = parameters[name]?.parameterChoice;
  if (choice === undefined) return "";
  if (choice.case === "stringParam") return choice.value;
  throw new MillraceError(
    "invalid_argument",
    `parameter "${name}": expected string_param, got ${choice.case ?? "none"}`,
  );
}
