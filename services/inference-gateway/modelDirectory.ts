import { MillraceError } from "@millrace/runtime";
import type { LoadedModel } from "./loadedModel.ts";

/**
 * Every model version that can be asked, by name and version. A lookup and the request that follows it belong into one turn of
 * the event loop: a version that is taken away answers what it was asked before, and nothing after.
 */
export class ModelDirectory {
  /** The version that answers for a name when the caller names none; undefined: the newest. */
  preferred: (name: string) => string | undefined = () => undefined;
  readonly #models = new Map<string, Map<string, LoadedModel>>();

  /** A newer load of the same version takes its place. */
  add(model: LoadedModel): void {
    const versions = this.#models.get(model.name) ?? new Map<string, LoadedModel>();
    this.#models.set(model.name, versions.set(model.version, model));
  }

  remove(model: LoadedModel): void {
    const versions = this.#models.get(model.name);
    if (versions?.get(model.version) !== model) return;
    versions.delete(model.version);
    if (versions.size === 0) this.#models.delete(model.name);
  }

  /** @param version Empty: the one that the server chooses. @throws `not_found` saying what there is instead. */
  find(name: string, version: string): LoadedModel {
    const versions = this.#models.get(name);
    if (versions === undefined) {
      const names = [...this.#models.keys()].slice(0, 20).join(", ");
      throw new MillraceError("not_found", `no model "${shorten(name)}" is loaded; there is ${names || "none"}`);
    }
    const found = version === "" ? this.#chosen(name, versions) : versions.get(version);
    if (found !== undefined) return found;
    const which = version === "" ? `champion of "${name}"` : `version "${shorten(version)}" of "${name}"`;
    throw new MillraceError("not_found", `no ${which} is loaded; there is ${[...versions.keys()].join(", ")}`);
  }

  /** The loaded versions of a name, ascending. */
  versions(name: string): LoadedModel[] {
    return [...(this.#models.get(name)?.values() ?? [])].sort((a, b) => Number(a.version) - Number(b.version));
  }

  *all(): Iterable<LoadedModel> {
    for (const name of [...this.#models.keys()].sort()) yield* this.versions(name);
  }

  #chosen(name: string, versions: ReadonlyMap<string, LoadedModel>): LoadedModel | undefined {
    const preferred = this.preferred(name);
    return preferred === undefined ? this.versions(name).at(-1) : versions.get(preferred);
  }
}

const shorten = (text: string): string => (text.length > 100 ? `${text.slice(0, 100)}…` : text);
