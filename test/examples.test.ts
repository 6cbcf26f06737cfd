import { appendFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { addZipcodes } from "../examples/first-flow/data-set.ts";
import { NdjsonFile } from "../examples/first-flow/ndjson-file.ts";
import { UniqueIndex } from "../examples/first-flow/unique-index.ts";
import { zipcodesOf } from "../examples/first-flow/zipcodes.ts";
import type { Import } from "../src/index.ts";
import { exportCases, importCases } from "../src/testing/index.ts";

async function newPath(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "poundlock-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  return join(folder, "records.ndjson");
}

test("the file of the first example takes a record that it has already for written, and a changed one not", async () => {
  const path = await newPath();
  const file = await NdjsonFile.open(path);

  await file.append([{ city: "Oslo" }, { city: "Bergen" }], ["1", "2"]);
  await file.append([{ city: "Bergen" }, { city: "Bodø" }], ["2", "3"]);
  const opened = await NdjsonFile.open(path);
  await opened.append([{ city: "Oslo" }, { city: "Bærum" }], ["1", "2"]);

  expect([file.repeated, opened.repeated, file.size, opened.size]).toEqual([1, 1, 3, 3]);
  expect(await readFile(path, "utf8")).toBe(
    '{"_key":"1","city":"Oslo"}\n{"_key":"2","city":"Bergen"}\n{"_key":"3","city":"Bodø"}\n{"_key":"2","city":"Bærum"}\n',
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

test("the index of the first example refuses a name that another record has, also when it is opened again", async () => {
  const path = await newPath();
  const refused = {
    ok: false,
    fault: "reject",
    error: expect.objectContaining({ code: "name taken already" }) as unknown,
  };
  const index = await UniqueIndex.open(path);

  expect(await index.put([{ name: "Oslo" }, { name: "Oslo" }, { name: "Bodø" }], ["1", "2", "3"])).toEqual([
    { ok: true },
    refused,
    { ok: true },
  ]);
  const opened = await UniqueIndex.open(path);
  expect(await opened.put([{ name: "Oslo" }, { name: "Bodø" }], ["1", "4"])).toEqual([{ ok: true }, refused]);

  expect({ size: opened.size, repeated: opened.repeated }).toEqual({ size: 2, repeated: 1 });
  expect(await readFile(path, "utf8")).toBe('{"_key":"1","name":"Oslo"}\n{"_key":"3","name":"Bodø"}\n');
});

test("the index of the first example gives a name free when the record that had it gets another", async () => {
  const path = await newPath();
  const index = await UniqueIndex.open(path);

  await index.put([{ name: "Kristiania" }], ["1"]);
  await index.put([{ name: "Oslo" }], ["1"]);
  const opened = await UniqueIndex.open(path);

  for (const each of [index, opened]) expect(await each.put([{ name: "Kristiania" }], ["2"])).toEqual([{ ok: true }]);
  expect(opened.size).toBe(2);
});

describe("the destinations of the first example", () => {
  const paths = new WeakMap<object, string>();
  const read = async (into: object) => {
    const lines = (await readFile(paths.get(into) ?? "", "utf8")).trimEnd().split("\n").filter(Boolean);
    // Of the lines with the same key the last one counts.
    return [...new Map(lines.map((line) => [(JSON.parse(line) as { _key: string })._key, line]))].sort();
  };
  const made = (path: string, write: Import<{ name: string }>["write"]): Import<{ name: string }> => {
    const into = { idempotent: true, write };
    paths.set(into, path);
    return into;
  };
  const options = { record: (nth: number) => ({ name: `record ${nth}` }), read };
  const makeFile = async () => {
    const path = await newPath();
    const file = await NdjsonFile.open(path);
    return made(path, (records, { keys }) => file.append(records, keys));
  };
  const makeIndex = async () => {
    const path = await newPath();
    const index = await UniqueIndex.open(path);
    return made(path, (records, { keys }) => index.put(records, keys));
  };

  for (const { title, run } of importCases(makeFile, options)) test(`file: ${title}`, run);
  for (const { title, run } of importCases(makeIndex, options)) test(`index: ${title}`, run);
});

describe("the growing source of the first example", () => {
  const paths = new WeakMap<object, string>();
  const open = async (lines: number) => {
    const path = await newPath();
    await addZipcodes(path, 0, lines);
    const zipcodes = zipcodesOf(path, { pageMs: 0 });
    paths.set(zipcodes, path);
    return zipcodes;
  };
  const cases = exportCases(() => open(12), {
    pageSize: 5,
    empty: () => open(0),
    async records(zipcodes) {
      const lines = (await readFile(paths.get(zipcodes) ?? "", "utf8")).trimEnd().split("\n").slice(1);
      return lines.map((line) => {
        const [zip_code = "", latitude = "", longitude = "", city = "", state = "", county = ""] = line.split(",");
        return { zip_code, latitude, longitude, city, state, county };
      });
    },
    async addLate(zipcodes) {
      await addZipcodes(paths.get(zipcodes) ?? "", 12, 13);
      const place = { city: "Arecibo", state: "PR", county: "Arecibo" };
      return { zip_code: "00614", latitude: "18.429675", longitude: "-66.674506", ...place };
    },
  });
  for (const { title, run } of cases) test(title, run);

  test("takes every case", () => {
    expect(cases.skipped).toEqual([]);
  });
});
