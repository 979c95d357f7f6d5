import { readOptions } from "../commandLine.ts";
import { readEndpoints } from "../endpoints.ts";
import { defaultHome, Home } from "../home.ts";
import type { ServiceName } from "../services.ts";
import type { Command } from "./command.ts";

/** Says of each service whether it is ready, and where it listens; exit status 1 when one is not. */
export const status: Command = {
  name: "status",
  usage: "",
  what: "whether each service is ready, and where it listens",
  async run(commandArguments) {
    readOptions({ args: [...commandArguments], options: {} });
    const endpoints = readEndpoints(new Home(defaultHome()));
    console.log(`${"NATS".padEnd(20)} ${endpoints.nats.url}`);
    let allReady = true;
    for (const [name, url] of Object.entries(endpoints.health)) {
      const ready = await isReady(url);
      allReady &&= ready;
      console.log(
        `${name.padEnd(20)} ${ready ? "ready" : "NOT READY"}   gRPC ${endpoints.grpc[name as ServiceName] ?? "none"}`,
      );
    }
    return allReady ? 0 : 1;
  },
};

async function isReady(url: string): Promise<boolean> {
  try {
    const answer = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2_000) });
    await answer.body?.cancel();
    return answer.ok;
  } catch {
    return false;
  }
}
