import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { checkCron } from "../../src/cron/cron.ts";

const guide = readFileSync(new URL("../../docs/guides/scheduling.md", import.meta.url), "utf8");

/** What is in code in the first column of the table under a heading. */
function firstColumn(heading: string): string[][] {
  const section = guide.slice(guide.indexOf(`\n${heading}\n`)).split(/\n#+ /)[1] ?? "";
  const rows = section.split("\n").filter((row) => row.startsWith("|"));
  return rows.slice(2).map((row) => [...(row.split("|")[1] ?? "").matchAll(/`([^`]*)`/g)].map(([, code = ""]) => code));
}

const isExpression = (code: string) => code === '""' || code.includes(" ") || code.startsWith("@");
const problems = (expression: string, zone = "UTC") => checkCron(expression === '""' ? "" : expression, zone);

/** In each of the six fields. */
const placed = (item: string) => [0, 1, 2, 3, 4, 5].map((i) => ["0", "0", "0", "*", "*", "*"].with(i, item).join(" "));

describe("the guide", () => {
  test.each(firstColumn("## Expressions").flat())("shows %s, which is accepted", (expression) => {
    expect(problems(expression)).toEqual([]);
  });

  const refused = firstColumn("### What is refused").flatMap(([first = "", ...others]) => {
    const zone = others.find((code) => Intl.supportedValuesOf("timeZone").includes(code));
    return [first, ...others].filter((code) => code !== zone).map((code) => [code, zone ?? "UTC"] as const);
  });

  test.each(refused)("shows %s in %s as refused, and it is, whatever field it is in", (code, zone) => {
    const accepted = (isExpression(code) ? [code] : placed(code)).filter(
      (expression) => problems(expression, zone).length === 0,
    );

    expect(accepted).toEqual([]);
  });

  test.each(firstColumn("## Time zones").flat())("shows the zone %s as refused, and it is", (zone) => {
    expect(problems("0 9 * * *", zone).map(({ field }) => field)).toEqual(["timezone"]);
  });

  test("lists the zones without a slash, which are accepted", () => {
    const list = /Accepted without a slash are only([^]*?)Zulu`/.exec(guide)?.[0] ?? "";
    const zones = [...list.matchAll(/`([^`]*)`/g)].map(([, zone = ""]) => zone);

    expect(zones).toHaveLength(44);
    expect(zones.filter((zone) => problems("0 9 * * *", zone).length > 0)).toEqual([]);
  });

  test("has all of these tables", () => {
    expect(firstColumn("## Expressions").flat()).toHaveLength(10);
    expect(refused.length).toBeGreaterThan(25);
    expect(firstColumn("## Time zones").flat().length).toBeGreaterThan(12);
  });
});
