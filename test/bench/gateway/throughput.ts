import { cpuSeconds } from "../processes/cpuTime.ts";
import { type Load, type LoadResult, runH2load } from "./h2load.ts";

/** 64 calls at once. */
export const UNARY = { connections: 8, callsAtOnce: 8 };

export interface Throughput extends LoadResult {
  /** Of the server's process, all its threads. */
  readonly cpuMicrosecondsPerCall: number;
}

export interface MeasureOptions {
  /** Of the server. */
  readonly pid: number;
  readonly seconds: number;
  /** The first calls compile the code (until 20,000 or so), and tell how many make so many seconds. */
  readonly warmUpCalls?: number;
  /** Whose speed is shown, where a call has several. Default: the calls. */
  readonly unit?: { readonly name: string; readonly perCall: number };
}

/** Asks a server for about so long, and shows how fast it was. @throws when a call is not answered. */
export async function measure(name: string, load: Load, options: MeasureOptions): Promise<Throughput> {
  const { pid, seconds, warmUpCalls = 15_000, unit = { name: "calls", perCall: 1 } } = options;
  const warmUp = await runH2load(load, warmUpCalls);
  const startCpu = cpuSeconds(pid);
  const result = await runH2load(load, Math.max(warmUpCalls, Math.round(warmUp.perSecond * seconds)));
  const cpuMicrosecondsPerCall = ((cpuSeconds(pid) - startCpu) * 1e6) / result.requests;
  const { perSecond, p50Ms, p99Ms, failed } = result;
  const speed = Math.round(perSecond * unit.perCall).toLocaleString("en");
  console.log(
    `${name.padEnd(18)} ${speed.padStart(9)} ${unit.name}/s  p50 ${p50Ms.toFixed(1)} ms  p99 ${p99Ms.toFixed(1)} ms  ` +
      `${(cpuMicrosecondsPerCall / unit.perCall).toFixed(1)} µs of its processor time for each`,
  );
  if (failed > 0) throw new Error(`${name}: ${failed} calls were not answered`);
  return { ...result, cpuMicrosecondsPerCall };
}
