import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Failure, Run } from "../../src/index.ts";
import { openDatabase } from "../../src/storage/sqlite/drivers.ts";
import { SqliteStorage } from "../../src/storage/sqlite/sqlite-storage.ts";
import { documentsIn, hostFile, newFolder, openHost, run } from "./harness.ts";

const idIn = (text: string) => /[\da-f]{8}-[\da-f-]{27}/.exec(text)?.[0] ?? "";

async function json<Document>(args: readonly string[]): Promise<readonly Document[]> {
  const { code, err, out } = await run([...args, "--json"]);
  expect([code, err]).toEqual([0, ""]);
  return documentsIn(out) as unknown as readonly Document[];
}

describe("what only reads", () => {
  test("leaves every byte of the file as it is", async () => {
    const file = await hostFile();
    const before = readFileSync(file);
    const [failure] = await json<Failure>(["failures", "--file", file]);

    for (const args of [["flows"], ["runs"], ["failures"], ["causes"], ["doctor"], ["checkpoint", "get", "orders"]])
      await run([...args, "--file", file]);
    for (const _id of ["orders", failure?._runId ?? "", failure?._id ?? ""]) await run(["show", _id, "--file", file]);

    expect(readFileSync(file).equals(before)).toBe(true);
  });

  test("opens the file in a way that refuses changes", async () => {
    const file = await hostFile();
    const opened: unknown[] = [];
    const open = SqliteStorage.open.bind(SqliteStorage);
    SqliteStorage.open = (name, options) => {
      opened.push(options?.readOnly);
      return open(name, options);
    };
    try {
      for (const args of [["flows"], ["show", "orders"], ["doctor"], ["run", "orders"]])
        await run([...args, "--file", file]);
    } finally {
      SqliteStorage.open = open;
    }

    expect(opened).toEqual([true, true, true, false]);
  });

  test("lists flows, runs, failures and causes as JSON, one document on each line", async () => {
    const file = await hostFile();

    expect((await json<Run>(["flows", "--file", file])).map(({ _id }) => _id)).toEqual(["orders", "stock"]);
    expect(await json(["runs", "--file", file])).toMatchObject([{ _flowId: "orders", numSuccess: 3, numError: 2 }]);
    expect((await json<Failure>(["failures", "--file", file])).map(({ key }) => key)).toEqual(["o-4", "o-2"]);
    expect(await json(["causes", "--file", file])).toMatchObject([{ open: 2, pattern: "order o-# has no VAT number" }]);
  });

  test("lists what matches every option", async () => {
    const file = await hostFile();
    const [cause] = await json<{ cause: string }>(["causes", "--file", file]);
    const keys = async (...args: readonly string[]) =>
      (await json<Failure>(["failures", "--file", file, ...args])).map(({ key }) => key);

    expect(await keys("--key", "o-2")).toEqual(["o-2"]);
    expect(await keys("--key-prefix", "o-", "--oldest")).toEqual(["o-2", "o-4"]);
    expect(await keys("--text", "ORDER O-4")).toEqual(["o-4"]);
    expect(await keys("--cause", cause?.cause ?? "")).toHaveLength(2);
    expect(await keys("--fault", "retry")).toEqual([]);
    expect(await keys("--status", "resolved")).toEqual([]);
    expect(await keys("--status", "all", "--flow", "orders", "--import", "ledger")).toHaveLength(2);
    expect(await json(["flows", "--disabled", "--file", file])).toMatchObject([{ _id: "stock" }]);
    expect(await json(["flows", "--enabled", "--file", file])).toMatchObject([{ _id: "orders" }]);
    expect(await json(["runs", "--status", "failed", "--file", file])).toEqual([]);
  });

  test("continues a list where it ended", async () => {
    const file = await hostFile();

    const first = await run(["failures", "--limit", "1", "--json", "--file", file]);
    const [, after = ""] = /--after (\S+)/.exec(first.err) ?? [];
    const second = await run(["failures", "--limit", "1", "--json", "--file", file, "--after", after]);

    expect([...documentsIn(first.out), ...documentsIn(second.out)].map(({ key }) => key)).toEqual(["o-4", "o-2"]);
    expect(second.err).toBe("");
  });

  test("shows tables for people, and says where there is nothing", async () => {
    const file = await hostFile();

    const { out } = await run(["runs", "--file", file], { columns: 200 });

    const [titles = "", row = ""] = out.split("\n");
    expect(titles).toContain("\x1b[1mrun");
    expect(row).toContain("\x1b[32mcompleted\x1b[39m");
    expect((await run(["runs", "--status", "canceled", "--file", file])).out).toBe("There are no such runs.\n");
  });

  test("shows a flow with its imports, runs and causes; a run; a failure with its record", async () => {
    const file = await hostFile();
    const [failure] = await json<Failure>(["failures", "--file", file]);
    const shown = async (_id = "") => (await run(["show", _id, "--file", file])).out;

    const flow = await shown("orders");
    for (const words of ["Orders to ledger", "up to date", '{"after":5}', "completed", "has no VAT number"])
      expect(flow).toContain(words);
    const ofRun = await shown(failure?._runId);
    expect(ofRun).toMatch(/status +completed/);
    expect(ofRun).toMatch(/ledger +3 +2 +0 +completed/);
    const ofFailure = await shown(failure?._id);
    expect(ofFailure).toMatch(/fault +reject: certainly not applied/);
    expect(ofFailure).toContain('"id": "o-4"');
    expect(await json(["show", "orders", "--file", file])).toMatchObject([{ name: "Orders to ledger" }]);
  });
});

describe("an id that nothing has", () => {
  test.each([
    [["run", "ordres"], 'There is no flow "ordres"; did you mean "orders"?'],
    [["run", "orders to LEDGER"], 'There is no flow "orders to LEDGER"; the flow of this name is "orders"'],
    [["cancel", "orders"], 'There is no run "orders"; it is the id of a flow'],
    [["retry", "stock"], 'There is no failure "stock"; it is the id of a flow'],
    [["show", "stok"], 'There is no flow, run or failure "stok"; did you mean "stock"?'],
    [["checkpoint", "get", "nothing-like-it-at-all"], 'There is no flow "nothing-like-it-at-all"'],
  ])("of %s is refused, and what may have been meant is said", async (args, message) => {
    const result = await run([...args, "--file", await hostFile()]);

    expect(result).toEqual({ code: 1, out: "", err: `poundlock: ${message}\n` });
  });

  test("is completed where it is the beginning of one", async () => {
    const file = await hostFile();
    const [first] = await json<Run>(["runs", "--file", file]);

    const { err } = await run(["cancel", first?._id.slice(0, 30) ?? "", "--file", file]);

    expect(err).toContain(`did you mean "${first?._id ?? ""}"?`);
  });

  test("of an import names those that there are", async () => {
    const { err } = await run(["checkpoint", "get", "stock", "--import", "shopp", "--file", await hostFile()]);

    expect(err).toContain('Flow stock has no import "shopp"; its imports are ledger, shop');
  });
});

describe("runs", () => {
  test("are queued, and wait where nobody runs the flows", async () => {
    const file = await hostFile();

    const { code, err, out } = await run(["run", "orders", "--file", file]);

    expect(code).toBe(0);
    expect(out).toBe(`Run ${idIn(out)} of flow orders is queued.\n`);
    expect(err).toContain("the run waits until one is");
    const canceled = await run(["cancel", idIn(out), "--file", file]);
    expect(canceled).toMatchObject({ code: 0, out: `Run ${idIn(out)} is canceled.\n` });
  });

  test("take a sample, parameters, and leave checkpoints alone", async () => {
    const file = await hostFile();

    const { out } = await run([
      "run",
      "orders",
      "--sample",
      "2",
      "--parameters",
      '{"from":1}',
      "--keep-checkpoint",
      "--json",
      "--file",
      file,
    ]);

    expect(documentsIn(out)).toMatchObject([{ limit: 2, parameters: { from: 1 }, moveCheckpoint: false }]);
  });

  test("of a disabled flow are refused", async () => {
    const result = await run(["run", "stock", "--file", await hostFile()]);

    expect(result).toEqual({ code: 1, out: "", err: "poundlock: Flow stock is disabled\n" });
  });

  test("are executed by the host that has the file open, and waited for", async () => {
    const file = await hostFile();
    const { scheduler, storage } = await openHost(file);
    await scheduler.start();

    const { code, err, out } = await run(["run", "orders", "--keep-checkpoint", "--wait", "--json", "--file", file]);

    expect([code, err]).toEqual([0, ""]);
    expect(documentsIn(out)).toMatchObject([{ status: "completed", numSuccess: 3, numError: 2 }]);
    await scheduler.stop();
    await storage.close();
  });

  test("that are waited for go on when the program is ended", async () => {
    const file = await hostFile();
    const ending = new AbortController();

    const waiting = run(["run", "orders", "--wait", "--file", file], { signal: ending.signal });
    setImmediate(() => ending.abort());

    expect(await waiting).toMatchObject({ code: 1, err: expect.stringContaining("goes on; it is queued") as string });
  });

  test("of paused imports are queued by resume, and nothing is where none is paused", async () => {
    const file = await hostFile();
    const { registry, scheduler, storage } = await openHost(file);
    await registry.patch("stock", { disabled: false });
    await scheduler.start();
    await scheduler.waitFor((await scheduler.run("stock"))._id);
    await scheduler.stop();
    await storage.close();

    expect((await run(["show", "stock", "--file", file])).out).toContain("paused");
    const resumed = await run(["resume", "stock", "--import", "shop", "--json", "--file", file]);
    expect(documentsIn(resumed.out)).toMatchObject([{ trigger: "resume", status: "queued" }]);
    expect((await run(["resume", "orders", "--file", file])).out).toBe("Nothing was paused.\n");
  });
});

describe("many failures at once", () => {
  test("are counted and asked about at a terminal", async () => {
    const file = await hostFile();

    const result = await run(["retry", "--flow", "orders", "--file", file], { columns: 100, typed: "y\n" });

    expect(result).toMatchObject({ code: 0, out: expect.stringContaining("1 run queued.") as string });
    expect(result.err).toContain("Retry 2 failures (flow orders)? [y/N] ");
    expect(await json(["runs", "--status", "queued", "--file", file])).toMatchObject([{ trigger: "retry" }]);
  });

  test.each(["n\n", "\n", "yes please\n"])("are left alone unless the answer is yes: %j", async (typed) => {
    const file = await hostFile();

    const result = await run(["resolve", "--flow", "orders", "--file", file], { columns: 100, typed });

    expect(result).toMatchObject({ code: 1, err: expect.stringContaining("Nothing was changed.") as string });
    expect(await json(["failures", "--file", file])).toHaveLength(2);
  });

  test("are left alone if the input ends instead of an answer", async () => {
    const file = await hostFile();

    const { code, err } = await run(["resolve", "--flow", "orders", "--file", file], { columns: 80, isEnded: true });

    expect(code).toBe(1);
    expect(err).toBe("Resolve 2 failures (flow orders)? [y/N] \nNothing was changed.\n");
    expect(await json(["failures", "--file", file])).toHaveLength(2);
  });

  test("are refused where there is nobody to ask", async () => {
    const file = await hostFile();

    for (const command of ["retry", "resolve"]) {
      const { code, err } = await run([command, "--flow", "orders", "--file", file]);
      expect([code, err]).toEqual([2, expect.stringContaining("add --yes if that is meant") as string]);
    }
    expect(await json(["failures", "--file", file])).toHaveLength(2);
    expect(await json(["runs", "--status", "queued", "--file", file])).toEqual([]);
  });

  test("go without a question by --yes", async () => {
    const file = await hostFile();

    const retried = await run(["retry", "--import", "ledger", "--yes", "--json", "--file", file]);
    const resolved = await run(["resolve", "--import", "ledger", "--yes", "--file", file]);

    expect(documentsIn(retried.out)).toMatchObject([{ runs: [idIn(retried.out)], refused: [] }]);
    expect(resolved).toMatchObject({ code: 0, out: "2 failures resolved.\n" });
  });

  test("are found by their ids, of which one alone needs no question", async () => {
    const file = await hostFile();
    const [first, second] = await json<Failure>(["failures", "--file", file]);
    const [one = "", two = ""] = [first?._id, second?._id];

    expect((await run(["retry", one, two, "--file", file])).code).toBe(2);
    expect((await run(["retry", one, one, "--file", file])).out).toContain("1 run queued.");
    expect((await run(["resolve", two, "--file", file])).out).toBe("1 failure resolved.\n");
    expect((await run(["retry", two, "--file", file])).err).toContain("is resolved already");
  });

  test("that do not exist are no error", async () => {
    const file = await hostFile();

    expect(await run(["retry", "--flow", "stock", "--file", file])).toMatchObject({
      code: 0,
      out: "There are no open failures that match.\n",
    });
    expect(await json(["resolve", "--key", "x", "--file", file])).toEqual([{ resolved: 0 }]);
  });

  test("of a flow that is disabled are refused by name", async () => {
    const file = await hostFile();
    const { registry, storage } = await openHost(file);
    await registry.patch("orders", { disabled: true });
    await storage.close();
    const [failure] = await json<Failure>(["failures", "--file", file]);

    const all = await run(["retry", "--flow", "orders", "--yes", "--file", file]);
    const one = await run(["retry", failure?._id ?? "", "--file", file]);

    for (const result of [all, one])
      expect(result).toMatchObject({ code: 1, out: "0 runs queued.\nFlow orders got none: flow_disabled\n" });
  });

  test("are never all there are", async () => {
    const file = await hostFile();

    expect(await run(["retry", "--yes", "--file", file])).toMatchObject({ code: 2 });
    expect(await run(["resolve", "x", "--flow", "orders", "--yes", "--file", file])).toMatchObject({ code: 2 });
  });
});

describe("checkpoints", () => {
  test("are set as JSON, of the version that they have", async () => {
    const file = await hostFile();

    const set = await run(["checkpoint", "set", "orders", '{"after":2}', "--file", file]);

    expect(set).toMatchObject({ code: 0, out: "Set for ledger.\n" });
    const shown = await json(["checkpoint", "get", "orders", "--file", file]);
    // The host's export is not here to say that its checkpoints are of version 2.
    expect(shown).toMatchObject([{ _importId: "ledger", checkpoint: { after: 2 }, checkpointVersion: 2 }]);
    expect((await run(["checkpoint", "get", "orders", "--file", file])).out).toContain('{"after":2}');
  });

  test("are forgotten only if that is meant", async () => {
    const file = await hostFile();
    const forget = ["checkpoint", "set", "orders", "--from-start", "--file", file];

    expect((await run(forget)).code).toBe(2);
    expect((await run(forget, { columns: 80, typed: "n\n" })).err).toContain("Read everything of flow orders again");
    expect((await run([...forget, "--yes"])).out).toBe("The next run reads from the start, for ledger.\n");
    expect((await json<object>(["checkpoint", "get", "orders", "--file", file]))[0]).not.toHaveProperty("checkpoint");
  });

  test("are refused if they are no JSON, or none is given", async () => {
    const file = await hostFile();

    expect((await run(["checkpoint", "set", "orders", "{after", "--file", file])).err).toContain(
      "A checkpoint is JSON",
    );
    expect((await run(["checkpoint", "set", "orders", "--file", file])).code).toBe(2);
    const json = await run(["checkpoint", "set", "orders", "7", "--import", "ledger", "--json", "--file", file]);
    expect(documentsIn(json.out)).toEqual([{ _flowId: "orders", _importIds: ["ledger"], value: 7 }]);
  });
});

test.each([["runs"], ["failures"], ["failures", "--json"], ["causes"], ["retry", "--yes"]])(
  "%s of a flow that does not exist are not just none",
  async (...args) => {
    const file = await hostFile();

    const { code, err, out } = await run([...args, "--flow", "ordrs", "--file", file]);

    expect([code, out, err]).toEqual([1, "", 'poundlock: There is no flow "ordrs"; did you mean "orders"?\n']);
  },
);

test("what SQLite refuses is said: whoever asks has the file", async () => {
  const file = await hostFile();
  const other = openDatabase(file);
  other.exec("alter table poundlock_runs rename to gone");
  other.close();

  expect(await run(["runs", "--file", file])).toMatchObject({
    code: 1,
    err: expect.stringMatching(/^poundlock: .*flows\.db: .*no such table: poundlock_runs\n$/) as string,
  });
});

test("a file that is not there is not made", async () => {
  const file = join(newFolder(), "none.db");

  for (const command of [["flows"], ["run", "orders"], ["doctor"], ["dashboard"]]) {
    const result = await run([...command, "--file", file]);
    expect(result).toEqual({ code: 1, out: "", err: `poundlock: ${file}: there is no such file\n` });
  }
});
