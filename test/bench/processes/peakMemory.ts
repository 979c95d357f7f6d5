import { readFileSync, writeFileSync } from "node:fs";

/** Begins anew to watch the largest resident memory of a process (Linux, proc(5)). */
export function resetPeakMemory(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, "5");
  } catch {
    // Elsewhere there is no such file, and no figure.
  }
}

/** The largest resident memory of a process since `resetPeakMemory`, in MiB; NaN where it cannot be known. */
export function peakMemoryMiB(pid: number): number {
  try {
    const [, kib] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
    return Number(kib) / 1_024;
  } catch {
    return Number.NaN;
  }
}
