import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * What trained a model: the package's version, and a digest of the service's sources, such as `0.1.0+3f2a91c0d4e5`. Needs no repository, which
 * an image does not have, and changes with every change of the code.
 */
export function readCodeVersion(folder = import.meta.dirname): string {
  const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string };
  const hash = createHash("sha256");
  for (const file of sourcesIn(folder, "").toSorted())
    hash.update(`${file}\0`).update(readFileSync(join(folder, file)));
  return `${version}+${hash.digest("hex").slice(0, 12)}`;
}

function sourcesIn(folder: string, under: string): string[] {
  return readdirSync(join(folder, under), { withFileTypes: true }).flatMap((entry) => {
    const path = join(under, entry.name);
    if (entry.isDirectory()) return entry.name === "node_modules" ? [] : sourcesIn(folder, path);
    return /^(?!.*(\.test|ForTests)\.ts$).*\.ts$/.test(entry.name) ? [path] : [];
  });
}
