// Makes applications of the code in docs/guides/hosts.md: each block whose first line is its path is a file.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { root } from "./pack.mjs";

const guide = await readFile(join(root, "docs/guides/hosts.md"), "utf8");
const blocks = new Map(
  [...guide.matchAll(/^```ts\n(\/\/ (\S+)\n[^]*?)^```$/gm)].map(([, code = "", path = ""]) => [path, code]),
);

/** Writes files of the guide into a folder. */
export async function writeGuide(folder, ...paths) {
  for (const path of paths) {
    const code = blocks.get(path);
    assert.ok(code !== undefined, `the guide has no block for ${path}`);
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), code);
  }
}

/** Fails if something has opened the flows' file, as a build must not. */
export function opensNothing(folder) {
  assert.ok(!existsSync(join(folder, "flows.db")), "a file was opened before the server was started");
}

/**
 * Starts a host with `command` on a free port, calls its API, ends it with SIGTERM, and expects it to end by itself.
 * `waits: false` if the host does not let requests wait.
 */
export async function callsAndEnds(folder, [command, ...args], { env = {}, waits = true, also } = {}) {
  for (const end of ["", "-wal", "-shm"]) await rm(join(folder, `flows.db${end}`), { force: true });
  const port = String(await freePort());
  const more = { PORT: port, FLOWS_TOKEN: "let-me-in", ...env };
  const host = spawn(command, args, {
    cwd: folder,
    env: { ...process.env, ...more },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = once(host, "exit");
  let output = "";
  for (const stream of [host.stdout, host.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
  try {
    await callsWork(`http://127.0.0.1:${port}/api`, waits);
    await also?.(`http://127.0.0.1:${port}`);
    host.kill("SIGTERM");
    await Promise.race([ended, wait(20_000).then(() => assert.fail("it did not end after SIGTERM"))]);
    assert.doesNotMatch(output, /another scheduler/);
  } catch (error) {
    throw new Error(`${[command, ...args].join(" ")}: ${error.message}\n${output}`, { cause: error });
  } finally {
    if (host.exitCode === null && host.signalCode === null) host.kill("SIGKILL");
  }
}

async function callsWork(base, waits) {
  const authorization = "Bearer let-me-in";
  const call = (path, { method = "GET", body, headers = {} } = {}) =>
    fetch(base + path, {
      method,
      headers: { authorization, "content-type": "application/json", ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(20_000),
    });
  assert.equal((await responds(`${base}/flows`)).status, 401);
  const flow = await until(async () => (await call("/flows/orders-to-ledger")).status === 200);
  assert.ok(flow, "the scheduler was not started");
  const input = { name: "Another", _exportId: "orders", _importId: "ledger", disabled: true };
  assert.equal((await call("/flows", { method: "POST", body: input })).status, 201);
  const headers = waits ? { prefer: "wait=15" } : {};
  const response = await call("/flows/orders-to-ledger/run", { method: "POST", body: {}, headers });
  const run = await response.json();
  assert.deepEqual(
    [response.status, ...(waits ? [run.status, run.numSuccess] : [])],
    [201, ...(waits ? ["completed", 1] : [])],
  );
  const isCompleted = async () => (await (await call(`/runs/${run._id}`)).json()).status === "completed";
  assert.ok(await until(isCompleted), "the run did not complete");
  assert.equal((await call("/fl%6Fws")).status, 404);
  await streams(base, call, authorization);
}

/** An event stream sends what happens, and is left open: the host's end has to end it. */
async function streams(base, call, authorization) {
  const stream = await fetch(`${base}/events`, { headers: { authorization } });
  const reader = stream.body.pipeThrough(new TextDecoderStream()).getReader();
  await call("/flows/orders-to-ledger/run", { method: "POST", body: {} });
  for (let text = ""; !text.includes("event: run:completed");) {
    const { done, value } = await Promise.race([reader.read(), wait(20_000, { done: true })]);
    assert.ok(!done, `no event arrived after ${text}`);
    text += value;
  }
  reader.read().catch(() => undefined); // how it ends is the host's to say
}

async function responds(url) {
  for (let tries = 0; ; tries++) {
    const response = await fetch(url).catch((error) => error);
    if (response instanceof Response) return response;
    if (tries === 200) throw response;
    await wait(200);
  }
}

async function until(isSo) {
  for (let tries = 0; tries < 100; tries++) {
    if (await isSo()) return true;
    await wait(100);
  }
  return false;
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}
