// poundlock on real data, with connectors only, through a crash, an outage and dirty records, in about fifteen seconds.
//
//   an airline's API (pages, tokens, limits) ──┬─> airports looked up at another API ──> a table of SQLite
//                                              └─> a CSV file
//
// The host application is first-flow/host.ts; it runs in a process of its own, which is killed once. Here are the two
// servers that it reaches (first-flow/airline.ts), and what is shown of it all. Run it with `npm run example`. Every time
// it begins anew; what it wrote is in .work/first-flow afterwards.

import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import Database from "libsql";
import { Airline, type Incident, pageSize } from "./first-flow/airline.ts";
import { createTable } from "./first-flow/flight.ts";
import { count, done, failed, heading, clearBars, say, showBars, waits } from "./first-flow/terminal.ts";
import type { Message, Step } from "./first-flow/watched-host.ts";

const folder = fileURLToPath(new URL("../.work/first-flow", import.meta.url));
await rm(folder, { recursive: true, force: true });
await mkdir(folder, { recursive: true });

// ── The destinations: a table that there is already, and a file that there will be. ─────────────────────────────────

const table = new Database(join(folder, "flights.db"));
table.exec(`pragma journal_mode = wal; ${createTable}`); // so that reading here keeps nobody from writing
const rows = () => (table.prepare("select count(*) as count from flights").all() as [{ count: number }])[0].count;
const ids = async () => {
  const text = await readFile(join(folder, "flights.csv"), "utf8").catch(() => "");
  return text.split("\n").slice(1, -1).map((line) => line.slice(0, line.indexOf(","))); // prettier-ignore
};
let refused = 0;
const written = async () =>
  `${count(rows())} in the table, ${refused} refused; ${count((await ids()).length)} in the file`;

// ── The host's process. ─────────────────────────────────────────────────────────────────────────────────────────────

const log = openSync(join(folder, "log"), "a");

/** Starts it. What it writes to its console, as poundlock's own log does, goes into a file. */
function startHost(show: (event: Extract<Message, { event: string }>) => unknown): ChildProcess {
  const execArgv = [...process.execArgv, "--disable-warning=ExperimentalWarning"];
  const program = fileURLToPath(new URL("first-flow/watched-host.ts", import.meta.url));
  const host = fork(program, [airline.url, folder], { execArgv, stdio: ["ignore", log, log, "ipc"] });
  host.on("message", (message: Message) => {
    if ("event" in message && message.event === "refused") refused += message.count;
    else if ("event" in message) show(message);
  });
  host.once("exit", (code) => {
    if (code !== 0 && code !== null) throw new Error(`the host ended with exit code ${code}: see .work/first-flow/log`);
  });
  return host;
}

/** Lets it do something, and resolves with what it has found. */
function ask(host: ChildProcess, step: Step): Promise<unknown> {
  host.send(step);
  return new Promise((resolve) => {
    host.on("message", (message: Message) => {
      if ("step" in message && message.step === step) resolve(message.result);
    });
  });
}

// ── What happens. ───────────────────────────────────────────────────────────────────────────────────────────────────

const incidents: Readonly<Record<Incident, () => void>> = {
  "too many requests": () => waits("The API has had enough (429, Retry-After: 1): its connection pauses for a second."),
  "slow page": () => waits("A page takes longer than the second that it has: it is asked for again."),
  "token expired": () => waits("The API takes the token no more (401): another is fetched, the page asked for again."),
  "airports down": () => undefined, // shown by what it makes the host do
};
const airline = await Airline.start((incident) => incidents[incident]());
let inFile = 0;
let isPaused = false;
setInterval(() => void ids().then(({ length }) => (inFile = length)), 80).unref();
const total = airline.flights.length;
showBars([
  { name: "table", total, value: rows, note: () => `${refused} refused${isPaused ? ", paused" : ""}` },
  { name: "file", total, value: () => inFile },
]);

heading(
  `1. ${count(total)} flights from an API into a table, airports looked up, and into a CSV file (.work/first-flow)`,
);
const first = startHost(() => undefined);
airline.onLookup = async (nth) => {
  if (nth !== 21) return;
  while ((await ids()).length < nth * pageSize) await pause(5);
  first.kill("SIGKILL");
};
first.send("move" satisfies Step);
await once(first, "exit");
failed(`SIGKILL. Page 21 is written to the file only, and not committed: ${await written()}.`);

const shown = {
  reclaimed: (pages: number) => done(`A second process reclaims the run, and goes on with page ${pages + 1}.`),
  paused: async () => waits(`The airports' API is down (503). Only what needs it is paused: ${await written()}.`),
  completed: async () => done(`The run has got through for the file: ${await written()}.`),
  resumed: async () => done(`The airports' API is back. The table's import goes on where it was: ${await written()}.`),
};
const second = startHost(({ event, count }) => {
  if (event === "refused" || (event === "completed" && !isPaused)) return;
  isPaused = event === "paused" || (event === "completed" && isPaused);
  void shown[event](count);
});
await ask(second, "move");
const failures = (await ask(second, "failures")) as Record<string, number>;
assert.deepEqual(await ids(), airline.flights.map(({ id }) => id), "every flight is in the file, once, in order"); // prettier-ignore
assert.equal(rows() + refused, total, "every flight is in the table, or a failure");
clearBars();
done(`Nothing is lost, nothing is there twice: ${await written()}.`);

heading("2. Failures, stored with their records");
failed(
  Object.entries(failures)
    .map(([message, number]) => `${number} × ${message}`)
    .join(", "),
);
airline.addAirport();
const delivered = await ask(second, "retry");
assert.deepEqual(await ask(second, "failures"), {});
refused = 0;
done(`The airport is added, the other records edited, all retried: ${String(delivered)} delivered, none left.`);
assert.equal(rows(), total);

const added = airline.addFlights();
const { table: toTable, file: toFile } = (await ask(second, "again")) as Record<string, number>;
done(`${added} flights later the next run moves what is new: ${toTable} and ${toFile}. ${await written()}.`);
second.send("stop" satisfies Step);
await once(second, "exit");
await airline.close();
closeSync(log);

heading("3. The host, examples/first-flow/host.ts, all of it but its imports");
const source = await readFile(new URL("first-flow/host.ts", import.meta.url), "utf8");
say(source.slice(source.indexOf("\n\n") + 2).trimEnd());
say("Read next: examples/orders-host/host.ts, a whole host: orders of a shop into PostgreSQL and a file.");
