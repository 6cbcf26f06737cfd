import { expect, test } from "vitest";
import { optionsInDocs, optionsInSource } from "./options-of.ts";

test.each([["composition.md", "Options of delta", () => optionsInSource("delta.ts", "Delta", "DeltaExportOptions")]])(
  "%s names what the source has, and nothing else, under %s",
  (page, heading, names) => {
    expect(optionsInDocs(page, heading).sort()).toEqual(names().sort());
  },
);
