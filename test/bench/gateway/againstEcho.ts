import { connect } from "node:net";
import { join } from "node:path";
import { freePort, OwnProcess } from "@millrace/local";
import { TemporaryFolder, waitFor } from "@millrace/test-harness";
import type { BenchGateway } from "./benchGateway.ts";
import { grpcFrames } from "./grpcFrame.ts";
import { measure, type Throughput, UNARY } from "./throughput.ts";

const ROUNDS = 2;
interface Compared {
  /** The gateway's calls a second over the echo's. */
  readonly ratio: number;
  readonly figures: { readonly gateway: Throughput; readonly echo: Throughput };
}

/** Asks the gateway and an echo the same, in turns. @throws when a call is not answered. */
export async function againstEcho(
  gateway: BenchGateway,
  path: string,
  request: Uint8Array,
  seconds: number,
): Promise<Compared> {
  await using folder = new TemporaryFolder();
  const echoAddress = `127.0.0.1:${await freePort()}`;
  await using echo = await startEcho(echoAddress, path, folder.join("echo.log"));
  const load = { path, body: grpcFrames(request), ...UNARY };
  const ours: Throughput[] = [];
  const echoes: Throughput[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    echoes.push(await measure("echo", { ...load, address: echoAddress }, { pid: echo.pid, seconds }));
    ours.push(await measure("gateway", { ...load, address: gateway.address }, { pid: gateway.pid, seconds }));
  }
  const figures = { gateway: best(ours), echo: best(echoes) };
  return { ratio: figures.gateway.perSecond / figures.echo.perSecond, figures };
}

const best = (rounds: readonly Throughput[]): Throughput =>
  rounds.reduce((left, right) => (right.perSecond > left.perSecond ? right : left));

async function startEcho(address: string, path: string, logFile: string): Promise<OwnProcess> {
  const main = join(import.meta.dirname, "echoServer.ts");
  const options = { name: "echo", command: process.execPath, arguments: [main, address, path], logFile };
  await using stack = new AsyncDisposableStack();
  const child = stack.use(await OwnProcess.start(options));
  await waitFor(() => canConnect(address), { deadlineMs: 20_000, what: "the echo server" });
  stack.move();
  return child;
}

function canConnect(address: string): Promise<true | undefined> {
  const [host, port] = address.split(":");
  return new Promise((resolve) => {
    const socket = connect(Number(port), host as string);
    socket.once("error", () => resolve(undefined));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}
