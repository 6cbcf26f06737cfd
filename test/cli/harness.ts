import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { onTestFinished } from "vitest";
import { runCommandLine } from "../../src/cli/command-line.ts";
import { bearerToken, createHandler } from "../../src/http/index.ts";
import { toNodeListener } from "../../src/http/node.ts";
import { FlowRegistry, Scheduler, retryLater, type Export, type Import } from "../../src/index.ts";
import { SqliteStorage } from "../../src/storage/sqlite/sqlite-storage.ts";

/** A folder of the test's own. */
export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "poundlock-cli-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** What a program is run with; by default nobody is at a terminal. */
export interface Situation {
  readonly env?: Readonly<Record<string, string>>;
  /** Columns of the terminal at which it is run. */
  readonly columns?: number;
  /** What the person at the terminal types. */
  readonly typed?: string;
  /** The person ends the input after that, as by Ctrl+D. */
  readonly isEnded?: boolean;
  readonly signal?: AbortSignal;
  /** Called with all that was written to stdout so far. */
  readonly onOutput?: (text: string) => void;
}

/** What a program did. */
export interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs the program in this process, with streams of its own. */
export async function run(args: readonly string[], situation: Situation = {}): Promise<Result> {
  const { columns, env = {}, isEnded = false, onOutput, signal = new AbortController().signal, typed } = situation;
  const isTTY = columns !== undefined;
  const stream = () => Object.assign(new PassThrough(), { isTTY, ...(isTTY ? { columns } : {}) });
  const [stdin, stdout, stderr] = [stream(), stream(), stream()];
  const written = { out: "", err: "" };
  stdout.on("data", (chunk: Buffer) => {
    written.out += chunk.toString();
    onOutput?.(written.out);
  });
  stderr.on("data", (chunk: Buffer) => (written.err += chunk.toString()));
  if (typed !== undefined) stdin.write(typed);
  if (isEnded) stdin.end();
  const code = await runCommandLine(args, { stdin, stdout, stderr, env, signal });
  // What was written last is read in the next turn.
  await new Promise((resolve) => setImmediate(resolve));
  return { code, ...written };
}

interface Order {
  readonly id: string;
  readonly vat: boolean;
}

/** Five orders, of which two have no VAT number. */
export const orders: Export<Order, { after: number }> = {
  order: "ordered",
  key: ({ id }) => id,
  checkpointVersion: 2,
  async *pages({ checkpoint }) {
    const after = checkpoint?.after ?? 0;
    const records = [1, 2, 3, 4, 5].filter((n) => n > after).map((n) => ({ id: `o-${n}`, vat: n % 2 === 1 }));
    if (records.length > 0) yield { records, checkpoint: { after: 5 } };
  },
};

/** Rejects orders without a VAT number. */
export const ledger: Import<Order> = {
  idempotent: true,
  async write(records) {
    return records.map(({ id, vat }) =>
      vat ? { ok: true } : { ok: false, fault: "reject", error: new Error(`order ${id} has no VAT number`) },
    );
  },
};

/** Is down. */
export const shop: Import<Order> = {
  idempotent: true,
  write: () => Promise.reject(retryLater(new Error("connect ECONNREFUSED"), { afterMs: 3_600_000 })),
};

/** An application, with flows `orders` and `stock`. */
export async function openHost(file: string) {
  const storage = await SqliteStorage.open(file);
  const registry = new FlowRegistry({ exports: { orders }, imports: { ledger, shop }, storage });
  const silent = { debug: ignore, info: ignore, warn: ignore, error: ignore };
  const scheduler = new Scheduler(registry, { logger: silent, maxAttempts: 1, retryDelayMs: 0, leaseMs: 1_000 });
  await registry.define("orders", {
    name: "Orders to ledger",
    schedule: "0 0 1 1 *",
    _exportId: "orders",
    _importId: "ledger",
  });
  await registry.define("stock", {
    name: "Stock to both",
    _exportId: "orders",
    _importIds: ["ledger", "shop"],
    disabled: true,
  });
  return { storage, registry, scheduler };
}

const ignore = () => undefined;

/** An application that has run `orders` once: three delivered, two failures. It is closed. */
export async function hostFile(file = join(newFolder(), "flows.db")): Promise<string> {
  const { scheduler, storage } = await openHost(file);
  await scheduler.start();
  const { _id } = await scheduler.run("orders");
  await scheduler.waitFor(_id);
  await scheduler.stop();
  await storage.close();
  return file;
}

/** The API of an application behind a token, and what it was asked. */
export async function serveApi(file: string, token: string) {
  const { scheduler, storage } = await openHost(file);
  const handler = createHandler({ scheduler, authorize: bearerToken(token), basePath: "/api" });
  const asked: string[] = [];
  const listener = toNodeListener(handler);
  const server = createServer((request, response) => {
    asked.push(`${String(request.method)} ${String(request.url)}`);
    listener(request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(async () => {
    server.closeAllConnections();
    server.close();
    await storage.close();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/api`, asked, scheduler };
}

/** The documents of JSON lines. */
export function documentsIn(text: string): readonly Record<string, unknown>[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
