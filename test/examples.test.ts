import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";

const linesOf = async (file: string) =>
  (await readFile(new URL(`../examples/${file}`, import.meta.url), "utf8")).trimEnd().split("\n");

test("the host of the first example fits on a screen of 24 lines without its imports", async () => {
  const lines = await linesOf("first-flow/host.ts");

  expect(lines.length - lines.indexOf("") - 1).toBeLessThanOrEqual(24);
});

test("the host that moves orders from an API into PostgreSQL and a file takes less than 100 lines, none of them long", async () => {
  const lines = await linesOf("orders-host/host.ts");

  expect(lines.length).toBeLessThan(100);
  expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(120);
});
