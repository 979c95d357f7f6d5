import { timestampDate } from "@bufbuild/protobuf/wkt";
import { connectBus, decode } from "@millrace/bus";
import { AppVersionSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { silentLogger } from "@millrace/runtime";
import { readOptions } from "../commandLine.ts";
import { readEndpoints } from "../endpoints.ts";
import { defaultHome, Home } from "../home.ts";
import type { Command } from "./command.ts";

/** Lists the apps that were applied. */
export const apps: Command = {
  name: "apps",
  usage: "",
  what: "the apps that were applied, with their versions",
  async run(commandArguments) {
    readOptions({ args: [...commandArguments], options: {} });
    const endpoints = readEndpoints(new Home(defaultHome()));
    await using bus = await connectBus(endpoints.nats.admin, "millrace apps", silentLogger);
    const bucket = await bus.keyValue("apps");
    const names: string[] = [];
    for await (const name of await bucket.keys()) names.push(name);
    if (names.length === 0) console.log("No app was applied yet: npm run millrace -- apply path/to/app.yaml");
    for (const name of names.sort()) {
      const entry = await bucket.get(name);
      if (entry === null || entry.operation !== "PUT") continue;
      const { version, appliedAt } = decode(AppVersionSchema, entry.value);
      const when = appliedAt === undefined ? "" : `   applied at ${timestampDate(appliedAt).toISOString()}`;
      console.log(`${name.padEnd(32)} version ${version}${when}`);
    }
    return 0;
  },
};
