import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { MillraceError } from "@millrace/runtime";
import { TemporaryFolder } from "@millrace/test-harness";
import { type H2loadReport, type Latencies, parseH2loadLog, parseH2loadReport } from "./h2loadOutput.ts";

/** What is asked over and over, and by how many at once. */
export interface Load {
  /** `host:port`. */
  readonly address: string;
  /** `/package.Service/Method`. */
  readonly path: string;
  /** Of each call: its messages as `grpcFrames` makes them. */
  readonly body: Uint8Array;
  readonly connections: number;
  /** Calls at once on each connection. */
  readonly callsAtOnce: number;
  /** More headers, such as `grpc-timeout`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** All connections together; the calls of an open loop begin at their times whatever the answers. Default: as soon as one is answered. */
  readonly perSecond?: number;
}

export type LoadResult = H2loadReport & Latencies;

/**
 * Makes so many calls from a process of its own, which is no JavaScript: it takes next to no time from the server.
 *
 * @throws `failed_precondition` where h2load is missing.
 */
export async function runH2load(load: Load, calls: number): Promise<LoadResult> {
  await using folder = new TemporaryFolder();
  const body = folder.join("body");
  const log = folder.join("log");
  writeFileSync(body, load.body);
  const { connections, callsAtOnce, perSecond } = load;
  const headers = { "content-type": "application/grpc", te: "trailers", ...load.headers };
  const output = await run([
    `--requests=${calls}`,
    `--clients=${connections}`,
    `--max-concurrent-streams=${callsAtOnce}`,
    ...(perSecond === undefined ? [] : [`--rps=${perSecond / connections}`]),
    ...Object.entries(headers).map(([name, value]) => `--header=${name}: ${value}`),
    `--data=${body}`,
    `--log-file=${log}`,
    `http://${load.address}${load.path}`,
  ]);
  return { ...parseH2loadReport(output), ...parseH2loadLog(readFileSync(log, "utf8")) };
}

function run(parameters: readonly string[]): Promise<string> {
  const child = spawn("h2load", parameters, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (bytes: Buffer) => (output += bytes.toString()));
  return new Promise((resolve, reject) => {
    child.on("error", (cause: NodeJS.ErrnoException) => {
      if (cause.code !== "ENOENT") return reject(cause);
      const text = "h2load, which makes the load, is missing: install nghttp2-client (apt-get install nghttp2-client)";
      reject(new MillraceError("failed_precondition", text, { cause }));
    });
    child.on("close", (status) => {
      if (status === 0) resolve(output);
      else reject(new Error(`h2load ended with status ${status}:\n${output.slice(-2_000)}`));
    });
  });
}
