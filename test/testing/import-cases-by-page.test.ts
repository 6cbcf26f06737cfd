import { describe, expect, test } from "vitest";
import type { FinishContext } from "../../src/connectors/index.ts";
import type { ImportMembers } from "../../src/index.ts";
import { type ImportCaseOptions, importCases } from "../../src/testing/index.ts";

interface Line {
  readonly id: string;
}

interface Destination extends ImportMembers<Line> {
  /** By page, with the run that wrote it. */
  readonly pages: Map<string, { readonly run: string; readonly lines: readonly string[] }>;
}

type Sabotage = "appends" | "deletes always" | "counts finishes";

/** Keeps a page under its run and number, and at its end what no other run wrote. */
function destination(sabotage?: Sabotage): Destination {
  const pages: Destination["pages"] = new Map();
  let finishes = 0;
  return {
    pages,
    idempotent: true,
    async write(records, { run, page }) {
      const name = `${run._id} ${page}${sabotage === "appends" ? ` ${pages.size}` : ""}`;
      pages.set(name, { run: run._id, lines: records.map(({ id }) => id) });
    },
    async finish({ run, whole }: FinishContext) {
      if (sabotage === "counts finishes") pages.set(`finish ${++finishes}`, { run: run._id, lines: ["finished"] });
      if (!whole && sabotage !== "deletes always") return;
      for (const [name, page] of pages) if (page.run !== run._id) pages.delete(name);
    },
  };
}

const options: ImportCaseOptions<Line> = {
  record: (nth) => ({ id: `line ${nth}` }),
  changed: (nth) => ({ id: `line ${nth}, changed` }),
  rewrites: true,
  finish: true,
  read: (into) => [...(into as Destination).pages.values()].flatMap(({ lines }) => lines).sort(),
};

describe("an import that goes by page and has a finish", () => {
  const cases = importCases(() => destination(), options);
  for (const { title, run } of cases) test(title, run);

  test("is not asked to go by key", () => {
    const byKey = cases.skipped.filter(({ reason }) => reason === "`rewrites: true`").map(({ title }) => title);

    expect(byKey).toEqual([
      "a record sent again among new ones is written once",
      "the same keys in another run, attempt and order mean the same records",
    ]);
  });
});

test.each<[Sabotage, string]>([
  ["appends", "the same page of a run again, with other records, replaces what was written of it"],
  ["deletes always", "finishing a run that has not read the whole source deletes nothing"],
  ["counts finishes", "finishing twice leaves the destination as it was"],
])("the cases catch one that %s", async (sabotage, title) => {
  const found = importCases(() => destination(sabotage), options).find((each) => each.title === title);

  await expect(found?.run()).rejects.toThrow();
});
