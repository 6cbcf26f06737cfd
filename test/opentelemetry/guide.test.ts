import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { SpanKind } from "@opentelemetry/api";
import { DataPointType } from "@opentelemetry/sdk-metrics";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { gauges } from "../../src/opentelemetry/gauges.ts";
import { openTelemetry } from "../../src/opentelemetry/index.ts";
import { counters, histograms } from "../../src/opentelemetry/metrics.ts";
import { type Export, MemoryStorage, retryLater } from "../../src/index.ts";
import { scriptedImport } from "../../src/testing/index.ts";
import { Harness, faltering } from "../support/harness.ts";
import { TestSdk, useContexts } from "./sdk.ts";

let forget: () => void;
beforeAll(() => (forget = useContexts()));
afterAll(() => forget());

const read = (path: string) =>
  readFileSync(fileURLToPath(new URL(`../../docs/guides/${path}`, import.meta.url)), "utf8");
const guide = read("telemetry.md");

/** Cells of the rows under a heading of the guide. */
function table(heading: string): string[][] {
  const section = guide.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? "";
  const rows = section.split("\n").filter((line) => line.startsWith("|"));
  return rows.slice(2).map((row) =>
    row
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}
const namesIn = (cell = "") => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name);

/** The labels of each series by its name, as Prometheus reads them. */
function seriesIn(scraped: string): ReadonlyMap<string, readonly string[]> {
  const lines = scraped.matchAll(/^(poundlock_\w+)\{(.*)\} /gm);
  return new Map([...lines].map(([, name = "", labels = ""]) => [name, labels.match(/\b\w+(?==")/g) ?? []]));
}

/** All that is recorded of an application in which everything happens once. */
async function everything() {
  const sdk = new TestSdk();
  const tracing = openTelemetry({ tracer: sdk.tracer, meter: sdk.meter });
  const orders: Export<number> = {
    listen: () => () => undefined,
    key: (number) => `#${number}`,
    async *pages() {
      yield [1, 2];
    },
  };
  const ledger = scriptedImport<number>(
    ({ attempt }) => {
      if (attempt === 1) throw retryLater(new Error("busy"));
      return [{ ok: true }, { ok: false, fault: "reject", error: new Error("no") }];
    },
    { filter: () => true },
  );
  const storage = faltering(new MemoryStorage(), { method: "claimRun", fails: (nth) => nth <= 3 });
  const harness = new Harness({ exports: { orders }, imports: { ledger }, storage, options: { tracing } });
  await harness.scheduler.start();
  const flow = await harness.flow({ _integrationId: "acme" });
  await harness.scheduler.accept("orders", [1, 2]);
  for (const run of await harness.runs()) await harness.end(run);
  await harness.run(flow._id);
  return sdk;
}

describe("the guide names", () => {
  test("each span there is, its name, and each of its kinds and attributes, and no other", async () => {
    const sdk = await everything();
    const found: Record<string, { kinds: string[]; attributes: string[] }> = {};
    for (const { attributes, kind, name } of sdk.spans) {
      const called = name.replace("orders", "{export}").replace("ledger", "{import}");
      const own = Object.keys(attributes).filter((attribute) => attribute !== "error.type");
      const known = found[called] ?? { kinds: [], attributes: [] };
      found[called] = {
        kinds: [...new Set([...known.kinds, SpanKind[kind]])].sort(),
        attributes: [...new Set([...known.attributes, ...own])].sort(),
      };
    }

    const rows = table("Spans").map(([name, kinds = "", attributes]) => {
      const own = [...kinds.matchAll(/\b(?:PRODUCER|CONSUMER|INTERNAL)\b/g)].map(([kind]) => kind).sort();
      return [namesIn(name)[0], { kinds: own, attributes: namesIn(attributes).sort() }];
    });
    expect(Object.fromEntries(rows)).toEqual(found);
  });

  test("each metric there is, what it is and its unit, and no other", async () => {
    const sdk = await everything();
    const { resourceMetrics } = await sdk.reader.collect();
    const words = new Map([
      [DataPointType.SUM, "counter"],
      [DataPointType.GAUGE, "gauge"],
      [DataPointType.HISTOGRAM, "histogram"],
    ]);
    const found = resourceMetrics.scopeMetrics.flatMap(({ metrics }) =>
      metrics.map(({ dataPointType, descriptor: { name, unit } }) => [name, words.get(dataPointType), unit]),
    );

    const rows = table("Metrics").map(([name, what = "", unit]) => [
      namesIn(name)[0],
      what.split(":")[0],
      namesIn(unit)[0],
    ]);
    expect(rows.sort()).toEqual(found.sort());
  });

  test("the buckets of each histogram, in seconds", async () => {
    const sdk = await everything();
    const boundsIn = (pattern: RegExp) => (pattern.exec(guide)?.[1] ?? "").split(", ").map(Number);
    const [steps, runs] = [boundsIn(/those of steps end at ([\d., ]+) s/), boundsIn(/those of runs\sat ([\d., ]+) s/)];

    for (const name of Object.keys(histograms)) {
      const [point] = await sdk.points(name);
      const { buckets } = point?.value as { buckets: { boundaries: number[] } };
      expect(buckets.boundaries, name).toEqual(name.startsWith("poundlock.run.") ? runs : steps);
    }
  });

  test("each attribute that a metric has, and no other", async () => {
    const sdk = await everything();
    const rows = table("Metrics").map(
      ([name, , , attributes]) => [namesIn(name)[0] ?? "", namesIn(attributes).sort()] as const,
    );
    for (const [name, attributes] of rows) {
      const points = await sdk.points(name);
      expect(points.length, name).toBeGreaterThan(0);
      const found = [...new Set(points.flatMap((point) => Object.keys(point.attributes)))].sort();
      expect(found, name).toEqual(attributes);
    }
  });
});

describe("what Prometheus is asked for is there:", () => {
  const quoted = (text: string) => [...text.matchAll(/"expr": "((?:[^"\\]|\\.)+)"/g)].map(([, rule = ""]) => rule);
  const ruled = (text: string) => [...text.matchAll(/expr: (.+)/g)].map(([, rule = ""]) => rule);

  test.each([
    ["alert rules", ruled(read("telemetry/alert-rules.yml"))],
    ["the dashboard of Grafana", quoted(read("telemetry/grafana.json"))],
  ])("%s", async (_, rules) => {
    const series = seriesIn(await (await everything()).scraped());

    expect(rules.length).toBeGreaterThan(4);
    for (const rule of rules) {
      const names = rule.match(/\bpoundlock_\w+/g) ?? [];
      const asked = names.filter((name) => series.has(name));
      expect(asked, rule).not.toEqual([]);
      // All else are labels, each of which every one of them has.
      for (const label of names.filter((name) => !series.has(name)))
        for (const name of asked) expect(series.get(name), rule).toContain(label);
    }
  });

  test("the rules of the guide are those of the file", () => {
    const rules = [...read("telemetry/alert-rules.yml").matchAll(/expr: (.+)/g)].map(([, rule]) => rule);

    expect(table("Prometheus").map(([, rule]) => namesIn(rule)[0])).toEqual(rules);
  });

  test("every metric is in the dashboard of Grafana", async () => {
    const text = read("telemetry/grafana.json");
    const names = Object.keys({ ...counters, ...gauges, ...histograms }).map((name) => name.replaceAll(".", "_"));

    expect(names.filter((name) => !text.includes(name))).toEqual([]);
  });
});
