import { execFile } from "node:child_process";
import { join } from "node:path";
import { type Platform, ROOT } from "@millrace/local";

/** What a command printed, and how it ended. */
export interface Said {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `npm run millrace -- <words>` against a running system, as a person does. */
export function millrace(platform: Platform, ...words: string[]): Promise<Said> {
  const environment = { ...process.env, MILLRACE_HOME: platform.home.path, NO_COLOR: "1" };
  const program = ["--disable-warning=ExperimentalWarning", join(ROOT, "deploy/local/millrace.ts"), ...words];
  return new Promise((resolve) => {
    execFile(process.execPath, program, { env: environment }, (error, stdout, stderr) =>
      resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });
}
