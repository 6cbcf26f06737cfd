import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { FlowRegistry, Scheduler } from "poundlock";
import { openStorage } from "./hosts.mjs";

/** One of several processes on one PostgreSQL, whose flows read nothing; `began` is called as each begins to be read. */
export async function hostOf(value, { began = () => undefined, ...options } = {}) {
  const { storage, close } = await openStorage("postgres", value);
  const from = {
    async *pages() {
      began();
      yield [];
    },
  };
  const imports = { sink: { idempotent: true, write: async () => undefined } };
  const registry = new FlowRegistry({ exports: { from }, imports, storage });
  const scheduler = new Scheduler(registry, options);
  return {
    ...{ registry, scheduler },
    async close() {
      await scheduler.stop();
      await close();
    },
  };
}

/** What all these flows are. */
export const flow = { name: "empty", _exportId: "from", _importId: "sink" };

/** Starts another such process, and resolves when it takes part; `began` gets the time of each run that it began to read. */
export async function otherHost(value, options, began) {
  const job = JSON.stringify({ value, options });
  const child = fork(fileURLToPath(new URL("began-worker.mjs", import.meta.url)), [job]);
  child.on("message", (message) => message.began?.forEach(began));
  const ended = once(child, "exit");
  await Promise.race([
    once(child, "message"),
    ended.then(([code]) => Promise.reject(new Error(`the other process ended with ${code}`))),
  ]);
  return {
    async close() {
      child.send("end");
      await ended;
    },
  };
}
