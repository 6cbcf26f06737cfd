import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { createConnection } from "mysql2/promise";
import { freePort } from "./postgres-server.ts";

/** A running server, or why there is none. */
export type MariadbServer =
  { readonly port: number; readonly stop: () => Promise<void> } | { readonly missing: string };

/** A server on a port of its own, with nothing in it, if MariaDB is installed here. */
export async function startMariadb(): Promise<MariadbServer> {
  const [server, install] = [find("mariadbd"), find("mariadb-install-db")];
  if (server === undefined || install === undefined)
    return { missing: "MariaDB is not installed (Debian: apt-get install mariadb-server)" };
  const folder = mkdtempSync(join(tmpdir(), "poundlock-mariadb-"));
  const log: string[] = [];
  try {
    const common = ["--no-defaults", `--datadir=${join(folder, "data")}`, `--user=${userInfo().username}`];
    await promisify(execFile)(install, [...common, "--auth-root-authentication-method=normal", "--skip-test-db"]);
    const port = await freePort();
    const files = [`--socket=${join(folder, "socket")}`, `--pid-file=${join(folder, "pid")}`];
    const network = [`--port=${port}`, "--bind-address=127.0.0.1", "--skip-name-resolve"];
    const quick = ["--innodb-flush-log-at-trx-commit=0", "--innodb-lock-wait-timeout=3", "--max-connections=200"];
    const child = spawn(server, [...common, ...files, ...network, ...quick], { stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text: Buffer) => log.push(text.toString()));
    await untilReady(child, port);
    return {
      port,
      async stop() {
        // Nobody needs its data any more.
        if (child.exitCode === null && child.kill("SIGKILL")) await once(child, "exit");
        rmSync(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    return { missing: `MariaDB does not start: ${String(error)} ${log.join("").slice(-2_000)}` };
  }
}

/** How to connect to a server. */
export function mariadbAt(port: number, database?: string) {
  return { host: "127.0.0.1", port, user: "root", ...(database === undefined ? {} : { database }) } as const;
}

/** Whether MariaDB is installed here. */
export function hasMariadb(): boolean {
  return find("mariadbd") !== undefined && find("mariadb-install-db") !== undefined;
}

function find(program: string): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"];
  return folders.map((folder) => join(folder, program)).find((path) => existsSync(path));
}

async function untilReady(child: ChildProcess, port: number): Promise<void> {
  for (const until = Date.now() + 60_000; Date.now() < until;) {
    if (child.exitCode !== null) throw new Error(`exit code ${child.exitCode}`);
    try {
      const connection = await createConnection(mariadbAt(port));
      await connection.end();
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  child.kill("SIGKILL");
  throw new Error("not ready after a minute");
}
