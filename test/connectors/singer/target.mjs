// A target: keeps records by stream and id in the file config.path, then sends the last state back.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";

const { path, mode = "plain" } = JSON.parse(readFileSync(process.argv[process.argv.indexOf("--config") + 1], "utf8"));
const script = existsSync(`${path}.next`) ? readFileSync(`${path}.next`, "utf8") : mode;
writeFileSync(`${path}.next`, mode);
if (script === "down") process.exit(3);
if (script === "stall") {
  setInterval(() => undefined, 1_000);
  await new Promise(() => undefined);
}
const kept = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : {};
let keyProperties = {};
let state;
for await (const line of createInterface(process.stdin)) {
  const message = JSON.parse(line);
  if (message.type === "SCHEMA") keyProperties[message.stream] = message.key_properties;
  if (message.type === "STATE") state = message.value;
  if (message.type !== "RECORD") continue;
  if (keyProperties[message.stream] === undefined) throw new Error("a record before its schema");
  kept[`${message.stream}/${keyProperties[message.stream].map((name) => message.record[name]).join()}`] =
    message.record;
}
writeFileSync(path, JSON.stringify(kept));
if (script === "loses") process.exit(0);
if (script === "fails") {
  console.error("CRITICAL the disk is full");
  process.exit(1);
}
console.log(JSON.stringify({ other: 1 }));
console.log(JSON.stringify(state));
