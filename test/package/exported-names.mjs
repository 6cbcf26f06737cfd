// The names that each entry point exports, as its .d.ts declares them: `exported-names.txt` is what they are meant to be.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import ts from "typescript";
import { root } from "./pack.mjs";

const file = join(root, "test/package/exported-names.txt");

/** One line for each name, with its entry point before it and the kind of thing it names behind. */
function exportedNames(entries) {
  const declarations = entries.map((entry) => join(root, "dist", `${entry}.d.ts`));
  const program = ts.createProgram(declarations, {
    module: ts.ModuleKind.NodeNext,
    types: ["node"],
    skipLibCheck: true,
  });
  const checker = program.getTypeChecker();
  const lines = entries.flatMap((entry, index) => {
    const source = checker.getSymbolAtLocation(program.getSourceFile(declarations[index]));
    return checker.getExportsOfModule(source).map((symbol) => {
      const named = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
      return `${entry === "index" ? "poundlock" : `poundlock/${entry}`} ${symbol.name}: ${kindOf(named.flags)}`;
    });
  });
  return lines.sort();
}

function kindOf(flags) {
  if (flags & ts.SymbolFlags.Class) return "class";
  if (flags & ts.SymbolFlags.Function) return "function";
  if (flags & ts.SymbolFlags.Variable) return flags & ts.SymbolFlags.Type ? "value and type" : "value";
  return "type";
}

/** Compares the built entry points with the file, or writes it if `update` is true; returns how many names there are. */
export async function checkExportedNames(entries, update) {
  const built = exportedNames(entries);
  if (update) await writeFile(file, `${built.join("\n")}\n`);
  const expected = (await readFile(file, "utf8")).trimEnd().split("\n");
  const added = built.filter((line) => !expected.includes(line));
  const removed = expected.filter((line) => !built.includes(line));
  if (added.length + removed.length > 0)
    throw new Error(
      [
        "What the package exports is not what test/package/exported-names.txt says:",
        ...added.map((line) => `+ ${line}`),
        ...removed.map((line) => `- ${line}`),
        "If that is meant, run `npm run check:package -- --update`, and commit the file with the change.",
      ].join("\n"),
    );
  return `${built.length} names, ${built.filter((line) => line.startsWith("poundlock ")).length} of them at the root`;
}
