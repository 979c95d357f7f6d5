import { chmodSync, mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { guardian } from "@millrace/local";

/** A folder of the test's own, removed when disposed of, and at the latest when the test's process has gone. */
export class TemporaryFolder implements AsyncDisposable {
  readonly path: string;

  /** @param everybodyMayEnter for what another user has to read; default: only the owner may. */
  constructor({ everybodyMayEnter = false } = {}) {
    this.path = mkdtempSync(join(tmpdir(), "millrace-test-"));
    if (everybodyMayEnter) chmodSync(this.path, 0o755);
    guardian.removeAtEnd(this.path);
  }

  /** A path inside. */
  join(...parts: string[]): string {
    return join(this.path, ...parts);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true, maxRetries: 3 });
  }
}

export const temporaryFolder = (options?: { everybodyMayEnter?: boolean }): TemporaryFolder =>
  new TemporaryFolder(options);
