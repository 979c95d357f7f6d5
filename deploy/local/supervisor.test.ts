import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryFolder, waitFor } from "@millrace/test-harness";
import { freePort, Supervisor } from "./mod.ts";
import type { SupervisedServiceOptions } from "./supervisedService.ts";

const FIXTURES = join(import.meta.dirname, "fixtures");

async function quiet(
  folder: string,
  lines: string[],
  environment: Record<string, string> = {},
): Promise<SupervisedServiceOptions> {
  const httpPort = await freePort();
  return {
    name: "quiet",
    arguments: [join(FIXTURES, "quietService.ts")],
    environment: { MILLRACE_PARENT: "stdin", MILLRACE_HTTP_PORT: String(httpPort), LOG_LEVEL: "info", ...environment },
    httpPort,
    logFile: join(folder, "quiet.log"),
    say: (line) => lines.push(line),
  };
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test("a service that is killed is started again, says so, and stops when asked", async () => {
  await using folder = temporaryFolder();
  const lines: string[] = [];
  let last = 0;
  {
    await using supervisor = await Supervisor.start([await quiet(folder.path, lines)]);
    const service = supervisor.service("quiet");
    const first = service.pid;
    await service.crash();
    assert.equal(service.restarts, 1);
    assert.notEqual(service.pid, first);
    last = service.pid;
    assert.deepEqual(lines, ["quiet stopped (SIGKILL); starting it again in 0.5 s"]);
  }
  assert.equal(runs(last), false);
});

test("a service that cannot start stops everything, with the end of its log", async () => {
  await using folder = temporaryFolder();
  const lines: string[] = [];
  const good = await quiet(folder.path, lines);
  const bad = await quiet(folder.path, lines, { FIXTURE_FAILS: "the moon is in the wrong house" });
  await assert.rejects(Supervisor.start([good, bad]), {
    code: "unavailable",
    message:
      /^quiet stopped while it was starting \(exit status 1\); .*quiet.log says: the moon is in the wrong house$/,
  });
  assert.deepEqual(lines, []);
  await assert.rejects(fetch(`http://127.0.0.1:${good.httpPort}/livez`));
});

test("when the parent is killed, nothing that it started is left", async () => {
  await using folder = temporaryFolder({ everybodyMayEnter: true });
  const parent = spawn(process.execPath, [join(FIXTURES, "abandonedPlatform.ts"), folder.join("home")], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(parent.stdout, "data")) as [Buffer];
  const pids = JSON.parse(line.toString()) as number[];
  assert.equal(pids.length, 3);
  assert.ok(pids.every(runs));
  parent.kill("SIGKILL");
  await waitFor(() => !pids.some(runs), {
    deadlineMs: 15_000,
    what: "nats-server, PostgreSQL and the service to leave",
  });
});
