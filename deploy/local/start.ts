import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { runCommand, say } from "./commandLine.ts";
import { demonstrate } from "./demo/demonstration.ts";
import { Display } from "./demo/display.ts";
import { HELP, readDemoOptions } from "./demo/options.ts";
import { Progress } from "./demo/progress.ts";
import type { Report } from "./demo/report.ts";
import { reportText } from "./demo/reportText.ts";
import { startTracing } from "./demo/tracing.ts";
import { linkEndpoints } from "./endpoints.ts";
import { defaultHome, Home } from "./home.ts";
import { type Platform, startPlatform } from "./platform.ts";
import { requested, stopRequest } from "./stopRequest.ts";

await runCommand(async () => {
  const options = readDemoOptions(process.argv.slice(2));
  if (options === undefined) {
    console.log(HELP);
    return 0;
  }
  const stopping = stopRequest();
  await using _ = await startTracing();
  const home = join(defaultHome(), "demo");
  say(`the demonstration begins with empty stores in ${home}`);
  await using platform = await startPlatform({ home, fresh: true, say, signal: stopping });
  using _link = linkEndpoints(new Home(defaultHome()), platform.home);
  const report = await Promise.race([
    runDemonstration(platform, options, stopping),
    platform.failed.then((how) => Promise.reject(new Error(how))),
  ]);
  const file = join(defaultHome(), "report.json");
  writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`);
  console.log(reportText(report));
  say(`the report is in ${file}`);
  const holds = report.invariants.every((invariant) => invariant.holds);
  if (!options.exit) {
    say(`the system stays up, addresses in ${new Home(defaultHome()).endpointsFile}; Ctrl-C stops it`);
    await Promise.race([platform.failed, requested(stopping)]);
  }
  return holds ? 0 : 1;
});

async function runDemonstration(
  platform: Platform,
  options: Parameters<typeof demonstrate>[1],
  stopping: AbortSignal,
): Promise<Report> {
  const progress = new Progress();
  using _ = new Display(progress);
  return await Promise.race([
    demonstrate(platform, options, progress, stopping),
    requested(stopping).then(() => Promise.reject(stopping.reason as Error)),
  ]);
}
