import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { openDatabase } from "../../src/storage/sqlite/drivers.ts";
import { documentsIn, hostFile, openHost, run } from "./harness.ts";

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

/** Starts the program as a shell would, with nobody at a terminal. */
function start(args: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, ["--import", "tsx", main, ...args], {
    env: { PATH: process.env.PATH, FLOWS_TOKEN: "t" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  return child;
}

async function ended(child: ChildProcess): Promise<{ code: number | null; out: string; err: string }> {
  const written = { out: "", err: "" };
  child.stdout?.on("data", (chunk: Buffer) => (written.out += chunk.toString()));
  child.stderr?.on("data", (chunk: Buffer) => (written.err += chunk.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, ...written };
}

test("the program writes, and ends with its exit code", async () => {
  const file = await hostFile();

  const [flows, wrong, doctor] = await Promise.all([
    ended(start(["flows", "--json", "--file", file])),
    ended(start(["flosw"])),
    ended(start(["doctor", "--file", file])),
  ]);

  expect(flows).toMatchObject({ code: 0, err: "" });
  expect(documentsIn(flows.out)).toHaveLength(2);
  expect(wrong).toMatchObject({ code: 2, out: "" });
  expect(doctor).toMatchObject({ code: 1, err: "" });
  // Plain: it is piped.
  expect(doctor.out).not.toContain("\x1b");
});

test("a reader that has enough ends it without a word", async () => {
  const child = start(["help"]);
  child.stdout?.destroy();

  const { code, err } = await ended(child);

  expect([code, err]).toEqual([0, ""]);
});

test("a run that another process queues is executed by the host", async () => {
  const file = await hostFile();
  const { scheduler, storage } = await openHost(file);
  await scheduler.start();

  const { code, out } = await ended(start(["run", "orders", "--keep-checkpoint", "--wait", "--json", "--file", file]));

  expect([code, documentsIn(out)]).toMatchObject([0, [{ status: "completed", numSuccess: 3 }]]);
  await scheduler.stop();
  await storage.close();
});

test("the dashboard is served on 127.0.0.1 until it is ended, with a token that is printed once", async () => {
  const file = await hostFile();
  const ending = new AbortController();
  let listening: (text: string) => void = () => undefined;
  const printed = new Promise<string>((resolve) => (listening = resolve));
  const serving = run(["dashboard", "--json", "--file", file], {
    signal: ending.signal,
    onOutput: (text) => {
      if (text.endsWith("\n")) listening(text);
    },
  });

  const [{ token, url } = {}] = documentsIn(await printed) as unknown as readonly { token: string; url: string }[];
  const ask = async (path: string, init: RequestInit = {}) =>
    fetch(`${String(url)}${path}`, { ...init, headers: { authorization: `Bearer ${String(token)}` } });
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
  expect((await fetch(`${String(url)}api/flows`)).status).toBe(401);
  expect(await (await fetch(String(url))).text()).toContain("<html");
  expect(await (await ask("api/flows")).json()).toHaveLength(2);
  expect((await ask("api/flows/orders/run", { method: "POST" })).status).toBe(201);
  const events = await eventsOf(await ask("api/events"));
  const before = await (await ask("api/runs?status=completed")).json();
  const host = await openHost(file);
  await host.scheduler.start();
  const [waiting] = (await host.scheduler.listRuns({ limit: 1 })).items;
  await host.scheduler.waitFor(waiting?._id ?? "");
  await host.scheduler.stop();
  await host.storage.close();
  expect(await (await ask("api/runs?status=completed")).json()).toHaveLength((before as unknown[]).length + 1);
  await events.until("event: run:completed");
  const refused = await ask("api/flows/orders", { method: "DELETE" });
  expect(refused.status).toBe(403);
  expect(await refused.text()).toContain("needs the application's code");
  ending.abort();
  const { code, err, out } = await serving;

  expect([code, err]).toEqual([0, ""]);
  const database = openDatabase(file);
  expect(database.prepare("select id from poundlock_readers").all()).toEqual([]);
  database.close();
  expect(out.split(String(token))).toHaveLength(2);
  expect(url).not.toContain(token);
});

/** What a stream of events sends. */
async function eventsOf({ body, status }: Response) {
  if (body === null) throw new Error(`no body, status ${status}`);
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let sent = "";
  const until = async (text: string) => {
    while (!sent.includes(text)) {
      const { done, value } = await reader.read();
      if (done) throw new Error(`it ended after ${sent}`);
      sent += value;
    }
  };
  await until("id: ");
  return { until };
}

test("a dashboard for reading only says when another process has changed something, and changes nothing", async () => {
  const file = await hostFile();
  const ending = new AbortController();
  let listening: (text: string) => void = () => undefined;
  const printed = new Promise<string>((resolve) => (listening = resolve));
  const serving = run(["dashboard", "--read-only", "--file", file], {
    signal: ending.signal,
    onOutput: (text) => {
      if (text.includes("Ctrl+C")) listening(text);
    },
  });

  const text = await printed;
  const [, url = ""] = /Open +(\S+)/.exec(text) ?? [];
  const [, token = ""] = /Token +(\S+)/.exec(text) ?? [];
  const response = await fetch(`${url}api/flows/orders/run`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}` },
  });
  expect(response.status).toBe(403);
  const events = await eventsOf(await fetch(`${url}api/events`, { headers: { authorization: `Bearer ${token}` } }));
  const host = await openHost(file);
  await host.scheduler.run("orders");
  await host.storage.close();
  await events.until("event: gap");
  const { port } = new URL(url);
  expect(await run(["dashboard", "--port", port, "--file", file])).toMatchObject({
    code: 1,
    err: expect.stringContaining(`Port ${port} of 127.0.0.1 cannot be listened on`) as string,
  });
  ending.abort();

  expect((await serving).code).toBe(0);
});
