// Writes `.env` beside docker-compose.yml with a random password for every account. Never overwrites: an account keeps its
// password. It begins with a letter, because NATS reads values as it reads its configuration. Usage: node deploy/docker/secrets.mjs
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = new URL("../../", import.meta.url);
const file = fileURLToPath(new URL(".env", root));
const compose = readFileSync(new URL("docker-compose.yml", root), "utf8");
const names = [...new Set([...compose.matchAll(/\$\{([A-Z0-9_]+_PASSWORD):\?/g)].map((match) => match[1]))];
const known = existsSync(file) ? readFileSync(file, "utf8") : "";
const missing = names.filter((name) => !new RegExp(`^${name}=`, "m").test(known));
const lines = missing.map((name) => `${name}=p${randomBytes(24).toString("hex")}\n`).join("");
writeFileSync(file, known + lines, { mode: 0o600 });
console.log(`${file}: ${missing.length} password(s) written, ${names.length - missing.length} kept.`);
