import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parse } from "yaml";

/** The repository's root. */
export const ROOT = resolve(import.meta.dirname, "..", "..");

/** What these tests look at in docker-compose.yml. */
export interface ComposeService {
  readonly image?: string;
  readonly build?: { readonly context: string; readonly dockerfile: string; readonly args: Record<string, string> };
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly container_name?: string;
  readonly hostname?: string;
  readonly volumes?: readonly string[];
  readonly healthcheck?: { readonly disable?: boolean; readonly test?: readonly string[] };
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
}

export interface ComposeFile {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

export const readFromRoot = (path: string): string => readFileSync(join(ROOT, path), "utf8");

export const composeText = readFromRoot("docker-compose.yml");

/** As it is written: variables are not filled in. */
export const compose = parse(composeText, { merge: true }) as ComposeFile;

/** The variables that it takes from `.env`, all of them required. */
export const requiredVariables: readonly string[] = [
  ...new Set([...composeText.matchAll(/\$\{([A-Z0-9_]+):\?[^}]+\}/g)].map((match) => match[1] as string)),
];

/** A service's environment as its process sees it; `.env` has a password for each variable that is required, and `given` for others. */
export function environmentOf(name: string, given: Readonly<Record<string, string>> = {}): Record<string, string> {
  const environment = compose.services[name]?.environment ?? {};
  const filled = (text: string): string =>
    text
      .replaceAll(/\$\{([A-Z0-9_]+):\?[^}]+\}/g, (_, variable: string) => passwordFor(variable))
      .replaceAll(
        /\$\{([A-Z0-9_]+):-([^}]*)\}/g,
        (_, variable: string, byDefault: string) => given[variable] || byDefault,
      );
  return Object.fromEntries(Object.entries(environment).map(([key, value]) => [key, filled(value)]));
}

/** Different for each variable, and needing no escape in a URL. */
export const passwordFor = (variable: string): string => `password-of-${variable.toLowerCase()}`;

/** Services that are built from this repository, by name, with the folder of each. */
export const built: ReadonlyMap<string, string> = new Map(
  Object.entries(compose.services).flatMap(([name, { build }]) =>
    build === undefined ? [] : [[name, build.args["PACKAGE"] as string] as const],
  ),
);

/** The built ones that stay: all but provisioning, which ends. */
export const longRunning: readonly (readonly [name: string, folder: string])[] = [...built].filter(([, folder]) =>
  folder.startsWith("services/"),
);
