import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { format, resolveConfig } from "prettier";

const document = fileURLToPath(new URL("../../../docs/benchmarks.md", import.meta.url));
const endOfAll = "<!-- peers: end -->";

/** Puts the table of a piece of work between its marks in docs/benchmarks.md; if it has none, into a part of its own. */
export async function replaceTable(work, title, written) {
  const before = await readFile(document, "utf8");
  const [begin, end] = [`<!-- ${work}: measured -->`, `<!-- ${work}: end -->`];
  const [first, last, all] = [begin, end, endOfAll].map((mark) => before.indexOf(mark));
  if (all < 0) throw new Error(`docs/benchmarks.md has no ${endOfAll}`);
  // In columns of one width a table takes a third more of the package.
  const text = written.replace(/^\|/m, "<!-- prettier-ignore -->\n|");
  const after =
    first < 0
      ? `${before.slice(0, all)}### ${title}\n\n${begin}\n\n${text}\n\n${end}\n\n${before.slice(all)}`
      : `${before.slice(0, first + begin.length)}\n\n${text}\n\n${before.slice(last)}`;
  await writeFile(document, await format(after, { ...(await resolveConfig(document)), parser: "markdown" }));
}
