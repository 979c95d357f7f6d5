import { execFileSync, spawnSync } from "node:child_process";
import { MillraceError } from "@millrace/runtime";

export interface SystemUser {
  readonly uid: number;
  readonly gid: number;
}

const NAME = "postgres";

/**
 * The user under which PostgreSQL runs, which refuses to run as root: nobody special when we are not root, else the
 * system's `postgres` user, made when there is none.
 */
export function postgresUser(): SystemUser | undefined {
  if (process.getuid?.() !== 0) return undefined;
  return find() ?? create();
}

function find(): SystemUser | undefined {
  const uid = spawnSync("id", ["-u", NAME], { encoding: "utf8" });
  const gid = spawnSync("id", ["-g", NAME], { encoding: "utf8" });
  if (uid.status !== 0 || gid.status !== 0) return undefined;
  return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
}

function create(): SystemUser {
  let cause: unknown;
  try {
    execFileSync("useradd", ["--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", NAME]);
  } catch (error) {
    cause = error;
  }
  const user = find();
  if (user !== undefined) return user;
  throw new MillraceError(
    "failed_precondition",
    `PostgreSQL does not run as root, and the system user "${NAME}" could not be made; make it (useradd --system ${NAME}) or start as an ordinary user`,
    { cause },
  );
}
