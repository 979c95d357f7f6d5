import { readFileSync } from "node:fs";

const TICKS_PER_SECOND = 100;

/** The processor time of a process so far, all its threads together, in seconds; NaN where it cannot be known (proc(5)). */
export function cpuSeconds(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  } catch {
    return Number.NaN;
  }
}
