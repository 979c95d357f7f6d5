import { spawnSync } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { MillraceError } from "@millrace/runtime";

export interface NatsProgramOptions {
  readonly path?: string | undefined;
  /** Is told, in a line, what is about to be installed. */
  readonly say?: (line: string) => void;
  /** Install it when it is missing and we may. Default: true. */
  readonly install?: boolean;
}

/**
 * Finds `nats-server`: on the PATH, else from the system's package manager (apt as root, Homebrew on a Mac).
 *
 * @throws `failed_precondition` with the one command to run, when it is missing and we may not install it.
 */
export function natsProgram(options: NatsProgramOptions = {}): string {
  const path = options.path ?? process.env["PATH"] ?? "";
  const found = findProgram("nats-server", path);
  if (found !== undefined) return found;
  const apt = findProgram("apt-get", path);
  const brew = findProgram("brew", path);
  const command = brew === undefined ? "apt-get install -y nats-server" : "brew install nats-server";
  if (options.install !== false && brew !== undefined) {
    run(options, brew, ["install", "nats-server"]);
  } else if (options.install !== false && apt !== undefined && process.getuid?.() === 0) {
    run(options, apt, ["update", "-q"]);
    run(options, apt, ["install", "-y", "-q", "--no-install-recommends", "nats-server"]);
  } else {
    throw missing(
      apt === undefined && brew === undefined ? undefined : brew === undefined ? `sudo ${command}` : command,
    );
  }
  const installed = findProgram("nats-server", path) ?? findProgram("nats-server", "/usr/sbin:/usr/bin");
  if (installed === undefined) throw missing(command);
  return installed;
}

function run(options: NatsProgramOptions, command: string, commandArguments: readonly string[]): void {
  options.say?.(`nats-server is missing; installing it: ${[command, ...commandArguments].join(" ")}`);
  const result = spawnSync(command, commandArguments, {
    encoding: "utf8",
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
  if (result.status === 0) return;
  const why = (result.stderr || result.error?.message || "").trim().split("\n").at(-1) ?? "";
  throw new MillraceError(
    "failed_precondition",
    `nats-server is missing, and "${[command, ...commandArguments].join(" ")}" failed (${why}); install it, or set NATS_URL to a server that runs JetStream`,
  );
}

function missing(command: string | undefined): MillraceError {
  const install =
    command === undefined
      ? "install it (https://docs.nats.io/running-a-nats-service/introduction/installation)"
      : `run: ${command}`;
  return new MillraceError(
    "failed_precondition",
    `nats-server is not on the PATH; ${install} (or set NATS_URL to a server that runs JetStream)`,
  );
}

function findProgram(name: string, path: string): string | undefined {
  // Debian puts nats-server into /usr/sbin, which an ordinary user's PATH lacks.
  const folders = path.split(delimiter).filter((folder) => folder !== "");
  if (folders.includes("/usr/bin")) folders.push("/usr/sbin", "/usr/local/sbin");
  for (const folder of folders) {
    const file = join(folder, name);
    try {
      accessSync(file, constants.X_OK);
      if (statSync(file).isFile()) return file;
    } catch {
      // Not here.
    }
  }
  return undefined;
}
