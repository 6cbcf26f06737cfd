import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Names in the first column of the table under a heading of a page of `docs/connectors`. */
export function optionsInDocs(page: string, heading: string): string[] {
  const markdown = readFileSync(`${root}docs/connectors/${page}`, "utf8");
  const section = markdown.split(/^#+ /m).find((part) => part.split("\n", 1)[0]?.trim() === heading) ?? "";
  const rows = section.split("\n").filter((line) => line.startsWith("|"));
  return rows
    .slice(2)
    .flatMap((row) => [...(row.split("|")[1] ?? "").matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name));
}

/** Members of interfaces of a file of `src/connectors`, without those that they inherit. */
export function optionsInSource(file: string, ...interfaces: string[]): string[] {
  const text = readFileSync(`${root}src/connectors/${file}`, "utf8");
  const { statements } = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  return interfaces.flatMap((name) => {
    const found = statements.filter((one) => ts.isInterfaceDeclaration(one)).find((one) => one.name.text === name);
    if (found === undefined) throw new Error(`There is no interface ${name} in ${file}`);
    return found.members.flatMap((member) => (member.name && "text" in member.name ? [member.name.text] : []));
  });
}
