// A host that has installed no driver: the error says what to install, unless its Node comes with one.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import * as esm from "poundlock/storage/sqlite";

const here = process.getBuiltinModule("node:sqlite") !== undefined;

async function main() {
  for (const { SqliteStorage } of [esm, createRequire(process.argv[1])("poundlock/storage/sqlite")]) {
    const opening = SqliteStorage.open(":memory:");
    if (here) await (await opening).close();
    else await assert.rejects(opening, { code: "invalid_option", message: /`npm install libsql`/ });
    await assert.rejects(SqliteStorage.open(":memory:", { driver: "libsql" }), {
      code: "invalid_option",
      message: /libsql: not installed/,
    });
  }
  console.log(here ? "node:sqlite is enough" : "said what to install");
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
