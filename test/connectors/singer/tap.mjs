// A tap: orders 0 to config.count - 1, from the state on, with a STATE after each config.every of them.
import { readFileSync } from "node:fs";

const options = new Map();
for (let index = 2; index < process.argv.length - 1; index++)
  if (process.argv[index].startsWith("--")) options.set(process.argv[index].slice(2), process.argv[index + 1]);
const json = (name) => (options.has(name) ? JSON.parse(readFileSync(options.get(name), "utf8")) : undefined);
const { count = 40, every = 10, mode = "plain", keys = ["id"], report } = json("config") ?? {};
const send = (message) => process.stdout.write(`${typeof message === "string" ? message : JSON.stringify(message)}\n`);

if (report === "environment") console.error(`${Object.keys(process.env).sort().join()} in ${process.cwd()}`);
if (report === "catalog") console.error(JSON.stringify(json("catalog")));
if (report === "config") console.error(readFileSync(options.get("config"), "utf8"));
if (mode === "credentials") {
  console.error("INFO starting");
  console.error("CRITICAL bad credentials");
  process.exit(1);
}
if (mode === "stubborn") process.on("SIGTERM", () => undefined);
send({ type: "SCHEMA", stream: "orders", schema: { type: "object" }, key_properties: keys });
send({ type: "ACTIVATE_VERSION", stream: "orders", version: 1 });
const start = json("state")?.orders ?? 0;
for (let id = start; id < count; id++) {
  if (mode === "dies" && id === 25) {
    console.error("CRITICAL it broke");
    // Once what was written is read.
    process.stdout.write("", () => process.exit(1));
    await new Promise(() => undefined);
  }
  if (mode === "dirty" && id === 3) send("Loading orders ...");
  if (mode === "batch" && id === 3) send({ type: "BATCH", stream: "orders", manifest: [] });
  send({ type: "RECORD", stream: "orders", record: { id, name: `ä ${id}` }, time_extracted: "2030-01-01T00:00:00Z" });
  if ((id + 1) % every === 0) send({ type: "STATE", value: { orders: id + 1 } });
  if (mode === "long" && id === 3) send({ type: "RECORD", stream: "orders", record: { id: "x".repeat(5_000) } });
}
if (mode === "stubborn") setInterval(() => undefined, 1_000);
else if (count % every !== 0) send({ type: "STATE", value: { orders: count } });
