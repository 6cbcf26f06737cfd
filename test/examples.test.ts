import { appendFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { NdjsonFile } from "../examples/first-flow/ndjson-file.ts";

async function newPath(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "poundlock-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  return join(folder, "records.ndjson");
}

test("the file of the first example takes a record that it has already for written", async () => {
  const path = await newPath();
  const file = await NdjsonFile.open(path);

  await file.append([{ city: "Oslo" }, { city: "Bergen" }], ["1", "2"]);
  await file.append([{ city: "Bergen" }, { city: "Bodø" }], ["2", "3"]);
  await (await NdjsonFile.open(path)).append([{ city: "Oslo" }], ["1"]);

  expect(await readFile(path, "utf8")).toBe(
    '{"_key":"1","city":"Oslo"}\n{"_key":"2","city":"Bergen"}\n{"_key":"3","city":"Bodø"}\n',
  );
});

test("the file of the first example writes over half a line that a process left behind when it died", async () => {
  const path = await newPath();
  await (await NdjsonFile.open(path)).append([{ city: "Bodø" }], ["1"]);
  await appendFile(path, '{"_key":"2","city":"Trondheim, in Trøndelag');

  await (await NdjsonFile.open(path)).append([{ city: "Oslo" }], ["2"]);

  expect(await readFile(path, "utf8")).toBe('{"_key":"1","city":"Bodø"}\n{"_key":"2","city":"Oslo"}\n');
});

test("two writers of the first example's file take turns", async () => {
  const path = await newPath();
  const file = await NdjsonFile.open(path);

  await Promise.all([file.append([{ city: "Oslo" }], ["1"]), file.append([{ city: "Bergen" }], ["2"])]);

  expect(await readFile(path, "utf8")).toBe('{"_key":"1","city":"Oslo"}\n{"_key":"2","city":"Bergen"}\n');
});
