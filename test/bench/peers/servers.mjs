import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";

/** A PostgreSQL with its settings as they come: every commit waits for the disk. */
export async function postgresServer() {
  // Node 20 reads no TypeScript, so this is for the first process, which is started with tsx, and not for those measured.
  const { startPostgres } = await import("../../support/postgres-server.ts");
  const server = await startPostgres([]);
  const [pid] = (await readFile(join(server.folder, "postmaster.pid"), "utf8")).split("\n");
  const url = `postgres://postgres:postgres@127.0.0.1:${server.port}/postgres`;
  return { value: { postgres: url, postgresPid: Number(pid) }, close: () => server.stop() };
}

/** A Redis whose log is synced every second (its default with a log) or with every command; undefined if there is none. */
export async function redisServer(folder, appendfsync) {
  const port = await freePort();
  const words = [
    "--port",
    port,
    "--bind",
    "127.0.0.1",
    "--save",
    "",
    "--appendonly",
    "yes",
    "--appendfsync",
    appendfsync,
  ];
  const more = ["--dir", folder, "--appenddirname", `redis-${appendfsync}`, "--maxmemory-policy", "noeviction"];
  const child = spawn("redis-server", [...words, ...more].map(String), { stdio: ["ignore", "pipe", "ignore"] });
  const started = await new Promise((resolve) => {
    child.once("error", () => resolve(false));
    child.stdout.on("data", (text) => String(text).includes("Ready to accept") && resolve(true));
  });
  if (!started) return undefined;
  return {
    value: { port, pid: child.pid },
    close: () => new Promise((done) => child.once("exit", done) && child.kill()),
  };
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/**
 * Milliseconds of CPU that a server has used: its process, those it has waited for, and those it has started that are at
 * work (Linux, 100 ticks a second).
 */
export function cpuMsOf(pid) {
  const children = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && parentOf(name) === pid);
  return [pid, ...children].reduce((sum, one) => sum + ticksOf(one) * 10, 0);
}

/** What follows the name of a process in its state; nothing if it has ended. */
function stateOf(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return [];
  }
}

const parentOf = (pid) => Number(stateOf(pid)[1]);

function ticksOf(pid) {
  return stateOf(pid)
    .slice(11, 15)
    .reduce((sum, ticks) => sum + Number(ticks), 0);
}
