import { readFileSync } from "node:fs";

/** The resident memory of a process now, in MiB; NaN where it cannot be known (proc(5)). */
export function residentMiB(pid: number): number {
  try {
    const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
    return Number(kib) / 1_024;
  } catch {
    return Number.NaN;
  }
}
