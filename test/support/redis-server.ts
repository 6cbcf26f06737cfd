import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { endWithParent } from "./guard.ts";
import { freePort } from "./postgres-server.ts";

/** A running server, or why there is none. */
export type RedisServer =
  | {
      readonly port: number;
      /** Where its data is. */
      readonly folder: string;
      /** Ends it without notice. */
      readonly kill: () => Promise<void>;
      /** Starts it again on its port: with what it had written, or with nothing in it. */
      readonly restart: () => Promise<void>;
      readonly stop: () => Promise<void>;
    }
  | { readonly missing: string };

/** A server on a port of its own, with nothing in it, if Redis is installed here. It writes each change before it responds. */
export async function startRedis({ keeps = false }: { readonly keeps?: boolean } = {}): Promise<RedisServer> {
  const program = find("redis-server");
  if (program === undefined) return { missing: "Redis is not installed (Debian: apt-get install redis-server)" };
  const folder = mkdtempSync(join(tmpdir(), "poundlock-redis-"));
  const port = await freePort();
  const disk = keeps ? ["--appendonly", "yes", "--appendfsync", "always"] : ["--appendonly", "no"];
  const network = ["--port", String(port), "--bind", "127.0.0.1", "--protected-mode", "no"];
  const args = [...network, "--dir", folder, "--save", "", ...disk, "--maxmemory-policy", "noeviction"];
  let child: ChildProcess | undefined;
  const kill = async () => {
    const ended = child;
    child = undefined;
    if (ended?.exitCode === null && ended.kill("SIGKILL")) await once(ended, "exit");
  };
  const restart = async () => {
    await kill();
    child = spawn(program, args, { stdio: "ignore" });
    endWithParent(child);
    await untilReady(child, port);
  };
  try {
    await restart();
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    return { missing: `Redis does not start: ${String(error)}` };
  }
  const stop = async () => {
    await kill();
    rmSync(folder, { recursive: true, force: true });
  };
  return { port, folder, kill, restart, stop };
}

/** Whether Redis is installed here. */
export function hasRedis(): boolean {
  return find("redis-server") !== undefined;
}

function find(program: string): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/local/bin"];
  return folders.map((folder) => join(folder, program)).find((path) => existsSync(path));
}

/** Until it responds to a command: while it reads what it has written, it does not. */
async function untilReady(child: ChildProcess, port: number): Promise<void> {
  for (const until = Date.now() + 30_000; Date.now() < until;) {
    if (child.exitCode !== null) throw new Error(`exit code ${child.exitCode}`);
    if ((await sent(port, "PING\r\n").catch(() => "")).startsWith("+PONG")) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  child.kill("SIGKILL");
  throw new Error("not ready after half a minute");
}

/** What a server responds to a command in Redis's inline form. */
export async function sent(port: number, command: string): Promise<string> {
  const socket = createConnection({ port, host: "127.0.0.1" });
  try {
    await once(socket, "connect");
    socket.write(command);
    const [reply] = (await once(socket, "data")) as [Buffer];
    return reply.toString();
  } finally {
    socket.destroy();
  }
}
