import { existsSync, readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, test } from "vitest";
import { errorsOf } from "../src/http/openapi.ts";
import { statuses } from "../src/http/http-error.ts";
import { routes } from "../src/http/routes/routes.ts";
import { streamEvents } from "../src/http/events/event-broadcast.ts";
import { senders } from "../src/http/webhooks/senders.ts";
import wordList from "./words.json" with { type: "json" };
import { sqliteDrivers } from "../src/storage/sqlite/drivers.ts";

/** Path below the repository → markdown. */
type Documents = Readonly<Record<string, string>>;

const root = fileURLToPath(new URL("..", import.meta.url));
const read = (path: string) => readFileSync(root + path, "utf8");

const fence = /^ *(`{3,})([^`\n]*)\n([^]*?)^ *\1 *$/gm;
const lineCount = (text: string) => text.split("\n").length - 1;

/** Fenced blocks; `line` is that of the fence, from 1. */
function blocksOf(markdown: string) {
  return [...markdown.matchAll(fence)].map(({ index, 2: info = "", 3: code = "" }) => ({
    info: info.trim(),
    line: lineCount(markdown.slice(0, index)) + 1,
    code,
  }));
}

/** The path in the first line of a block of which a host makes a file, as in `// app/page.ts`. */
const fileName = /^\/\/ (\S+\.ts)\n/;

/**
 * What to compile of a document: each `ts` block is a module, and a `ts continued` block belongs to the module before
 * it. All code is on the line it has in the document. Blocks with a file name can import each other.
 */
function modulesOf(markdown: string): { readonly name: string; readonly code: string }[] {
  const modules: { name: string; code: string }[] = [];
  for (const { info, line, code } of blocksOf(markdown)) {
    if (info !== "ts" && info !== "ts continued") continue;
    const before = info === "ts continued" ? modules.pop() : undefined;
    const name = before?.name ?? fileName.exec(code)?.[1] ?? `${modules.length}.ts`;
    const above = before?.code ?? "";
    modules.push({ name, code: above + "\n".repeat(line - lineCount(above)) + code });
  }
  return modules;
}

/** Blocks of code that would escape the compiler. */
function uncompiledBlocks(documents: Documents): string[] {
  const escapes = (info: string) =>
    /^([mc]?[jt]sx?|typescript|javascript)\b/i.test(info) && !/^ts( continued)?$/.test(info);
  return Object.entries(documents).flatMap(([path, markdown]) =>
    blocksOf(markdown)
      .filter(({ info }) => escapes(info))
      .map(({ info, line }) => `${path}:${line}: \`${info}\` is not \`ts\``),
  );
}

const blocksFolder = `${root}.work/docs-blocks/`;
const preambles = [`${root}test/docs-preamble.ts`, `${root}test/docs-hosts.d.ts`];

function compilerOptions(): ts.CompilerOptions {
  const { config } = ts.readConfigFile(`${root}tsconfig.json`, (path) => ts.sys.readFile(path)) as { config: unknown };
  const { options } = ts.parseJsonConfigFileContent(config, { ...ts.sys, readDirectory: () => [] }, root);
  // As in most applications, imports name no extension.
  const resolution = {
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    moduleDetection: ts.ModuleDetectionKind.Force,
  };
  return { ...options, ...resolution, noUnusedLocals: false, noUnusedParameters: false };
}

/** What the compiler says of the modules of all documents, in one program. Nothing is written. */
function typeErrors(documents: Documents): string[] {
  const codeOf = new Map<string, string>();
  for (const [path, markdown] of Object.entries(documents))
    for (const { name, code } of modulesOf(markdown)) codeOf.set(`${blocksFolder}${path}/${name}`, code);
  const options = compilerOptions();
  const host = ts.createCompilerHost(options);
  host.fileExists = (path) => codeOf.has(path) || ts.sys.fileExists(path);
  host.readFile = (path) => codeOf.get(path) ?? ts.sys.readFile(path);
  // Else no import would be looked for in a folder that is not there.
  host.directoryExists = (path) => path.startsWith(blocksFolder.slice(0, -1)) || ts.sys.directoryExists(path);
  const program = ts.createProgram([...preambles, ...codeOf.keys()], options, host);
  return [...preambles, ...codeOf.keys()].flatMap((path) => {
    const source = program.getSourceFile(path);
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)].map(formatted);
  });
}

function formatted({ file, start = 0, messageText }: ts.Diagnostic): string {
  const line = (file?.getLineAndCharacterOfPosition(start).line ?? 0) + 1;
  const path = file?.fileName.replace(blocksFolder, "").replace(/\.md\/.+\.ts$/, ".md");
  return `${path ?? ""}:${line}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`;
}

/** Cells of the rows of the table under a heading of level 2; undefined if there is no table. */
function tableUnder(markdown: string, heading: string): string[][] | undefined {
  const section = markdown.split(/^## /m).find((text) => text.split("\n", 1)[0]?.trim() === heading);
  const rows = section?.split("\n").filter((line) => line.startsWith("|"));
  if (rows === undefined || rows.length === 0) return undefined;
  return rows.slice(2).map((row) =>
    row
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

const namesIn = (cell = "") => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name);

/** Names in the first column of the table under a heading of level 2; undefined if there is no table. */
function namesInTable(markdown: string, heading: string): string[] | undefined {
  return tableUnder(markdown, heading)?.flatMap(([cell]) => namesIn(cell));
}

/** Members of an interface, and of those of the same source that it extends. */
function membersOf(source: string, name: string): string[] {
  const { statements } = ts.createSourceFile("source.ts", source, ts.ScriptTarget.Latest, true);
  const found = statements
    .filter((statement) => ts.isInterfaceDeclaration(statement))
    .find((one) => one.name.text === name);
  if (found === undefined) throw new Error(`There is no interface ${name}`);
  const extended = (found.heritageClauses ?? []).flatMap(({ types }) => types.map(({ expression }) => expression));
  return [
    ...found.members.flatMap((member) => (member.name && "text" in member.name ? [member.name.text] : [])),
    ...extended.flatMap((expression) => membersOf(source, expression.getText())),
  ];
}

const webhookOptions = [
  ...new Set(
    ["SenderOptions", "VerifyOptions"].flatMap((name) => membersOf(read("src/http/webhooks/webhook.ts"), name)),
  ),
];

const stringsIn = (text: string) => [...text.matchAll(/"(\w+)"/g)].map(([, string = ""]) => string);
const codesOfClasses = (source: string) => stringsIn((source.match(/\breadonly code\b[^="]*= "\w+"/g) ?? []).join());
const codesOfUnion = (source: string) => stringsIn(/\btype ErrorCode\s*=([^;]*);/.exec(source)?.[1] ?? "");

/** What only one of them names, or the manual names twice. */
function disagreements(manual: readonly string[] | undefined, source: readonly string[]): string[] {
  if (manual === undefined) return ["there is no table"];
  return [
    ...source.filter((name) => !manual.includes(name)).map((name) => `${name} is not in the manual`),
    ...manual.filter((name) => !source.includes(name)).map((name) => `${name} is only in the manual`),
    ...manual.filter((name, index) => manual.indexOf(name) < index).map((name) => `${name} is in the manual twice`),
  ];
}

const withoutCode = (markdown: string) => markdown.replace(fence, "").replace(/`[^`\n]+`/g, "");

/** Where links to the headings of a document may point, as GitHub names them. */
function anchorsOf(markdown: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ""] of markdown.replace(fence, "").matchAll(/^#{1,6} +(.+?) *#*$/gm)) {
    const text = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
    const slug = text.replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-");
    let anchor = slug;
    for (let count = 1; anchors.has(anchor); count++) anchor = `${slug}-${count}`;
    anchors.add(anchor);
  }
  return anchors;
}

function targetsOf(markdown: string): string[] {
  const links = withoutCode(markdown).matchAll(
    /\]\(<?([^)\s>]+)[^)]*\)|^\[[^\]]+\]: *(\S+)|\b(?:href|src)="([^"]+)"/gm,
  );
  return [...links].map(([, inline, reference, html]) => inline ?? reference ?? html ?? "");
}

/** Relative links that lead to no file, or to no heading of a document. */
function deadLinks(documents: Documents, exists: (path: string) => boolean): string[] {
  const leads = (from: string, target: string) => {
    const [file = "", anchor] = target.split("#");
    const path = file === "" ? from : posix.join(posix.dirname(from), file);
    if (path.startsWith("..") || !exists(path)) return false;
    return anchor === undefined || anchorsOf(documents[path] ?? "").has(anchor);
  };
  return Object.entries(documents).flatMap(([path, markdown]) =>
    targetsOf(markdown)
      .filter((target) => !/^[a-z]+:/i.test(target) && !leads(path, target))
      .map((target) => `${path} → ${target}`),
  );
}

/** Words that `test/words.json` bans, with their line. */
function bannedWords(documents: Documents): string[] {
  const { words, exceptions } = wordList;
  const patterns = words.map(({ pattern, say }) => ({ regex: new RegExp(`(?<![\\w])(?:${pattern})\\b`, "giu"), say }));
  return Object.entries(documents).flatMap(([path, markdown]) =>
    markdown.split("\n").flatMap((text, index) => {
      const prose = exceptions.reduce((left, exception) => left.replaceAll(exception.text, ""), text);
      return patterns.flatMap(({ regex, say }) =>
        [...prose.matchAll(regex)].map(([found]) => `${path}:${index + 1}: “${found.trim()}”: say ${say}`),
      );
    }),
  );
}

describe("the documents", () => {
  const paths = readdirSync(`${root}docs`, { recursive: true, encoding: "utf8" }).map((path) => `docs/${path}`);
  const markdown = ["README.md", ...paths].filter((path) => path.endsWith(".md"));
  const documents = Object.fromEntries(
    markdown.filter((path) => existsSync(root + path)).map((path) => [path, read(path)]),
  );
  const reference = documents["docs/reference.md"] ?? "";
  const http = documents["docs/http.md"] ?? "";

  test("a ts block compiles as it stands", () => {
    expect(typeErrors(documents)).toEqual([]);
  });

  test("no block of code escapes the compiler", () => {
    expect(uncompiledBlocks(documents)).toEqual([]);
  });

  test("a relative link leads somewhere", () => {
    expect(deadLinks(documents, (path) => existsSync(root + path))).toEqual([]);
  });

  test("our words are used", () => {
    expect(bannedWords(documents)).toEqual([]);
  });

  test("the README is one screen", () => {
    expect(lineCount(read("README.md"))).toBeLessThanOrEqual(80);
  });

  test.each([
    ["Errors", () => codesOfUnion(read("src/errors.ts"))],
    ["Scheduler events", () => membersOf(read("src/events.ts"), "SchedulerEvents")],
    ["Registry events", () => membersOf(read("src/events.ts"), "RegistryEvents")],
    ["Scheduler options", () => membersOf(read("src/scheduler/options.ts"), "SchedulerOptions")],
    ["Registry options", () => membersOf(read("src/registry-options.ts"), "RegistryOptions")],
    ["SqliteStorage options", () => membersOf(read("src/storage/sqlite/sqlite-storage.ts"), "SqliteOptions")],
    ["SqliteStorage drivers", () => sqliteDrivers],
    ["Dashboard options", () => membersOf(read("src/dashboard/options.ts"), "DashboardOptions")],
    ["Alert options", () => membersOf(read("src/alerts/options.ts"), "AlertOptions")],
    ["Alert fields", () => membersOf(read("src/alerts/alert.ts"), "Alert")],
    ["BullExecutor options", () => membersOf(read("src/executor/bull-executor.ts"), "BullExecutorOptions")],
    ["GraphileExecutor options", () => membersOf(read("src/executor/graphile-executor.ts"), "GraphileExecutorOptions")],
    ["PostgresStorage options", () => membersOf(read("src/storage/postgres/postgres-storage.ts"), "PostgresOptions")],
  ])("the reference names what the source has, and nothing else, under %s", (heading, names) => {
    expect(disagreements(namesInTable(reference, heading), names())).toEqual([]);
  });

  test.each([
    ["Handler options", () => membersOf(read("src/http/options.ts"), "HandlerOptions")],
    ["Signatures", () => membersOf(read("src/http/webhooks/signature.ts"), "SignatureOptions")],
    ["Webhooks", () => webhookOptions],
    ["Senders", () => Object.keys(senders)],
    ["Streamed events", () => streamEvents],
  ])("the HTTP reference names what the source has, and nothing else, under %s", (heading, names) => {
    expect(disagreements(namesInTable(http, heading), names())).toEqual([]);
  });

  test("the HTTP reference shows the routes as the router has them", () => {
    const shown = tableUnder(http, "Routes")?.map(([route, success, action]) => [
      namesIn(route),
      success,
      namesIn(action),
    ]);

    expect(shown).toEqual(
      routes.map(({ method, path, responses, action }) => [
        [`${method} ${path}`],
        Object.keys(responses).join(", "),
        action === undefined ? [] : [action],
      ]),
    );
  });

  test("the HTTP reference shows the query parameters of each route that has some, and no others", () => {
    const shown = tableUnder(http, "Query parameters") ?? [];
    const rows = shown.flatMap(([on, parameters]) => namesIn(on).map((route) => [route, namesIn(parameters)]));

    const read = routes.map(({ method, path, query }) => [`${method} ${path}`, Object.keys(query?.entries ?? {})]);
    expect(Object.fromEntries(rows)).toEqual(Object.fromEntries(read.filter(([, names]) => names?.length !== 0)));
  });

  test("the HTTP reference shows each body", () => {
    const shown = namesInTable(http, "Bodies")?.sort();

    const read = routes.filter(({ body }) => body !== undefined).map(({ method, path }) => `${method} ${path}`);
    expect(shown).toEqual(read.sort());
  });

  test("the reference shows the status of each error, and the HTTP reference those that errors do not have", () => {
    const shown = tableUnder(reference, "Errors")?.map((cells) => [namesIn(cells[0])[0], cells.at(-1)]);
    const others = tableUnder(http, "Statuses")?.map(([status]) => Number(status)) ?? [];

    const codes = codesOfUnion(read("src/errors.ts"));
    expect(Object.fromEntries(shown ?? [])).toEqual(
      Object.fromEntries(codes.map((code) => [code, String(statuses[code as keyof typeof statuses] ?? "–")])),
    );
    const known = [...Object.values(statuses), 405, ...routes.flatMap(errorsOf)];
    expect([...new Set([...Object.values(statuses), ...others])].sort()).toEqual([...new Set(known)].sort());
  });

  test("each error code has exactly one class", () => {
    expect(codesOfClasses(read("src/errors.ts")).sort()).toEqual(codesOfUnion(read("src/errors.ts")).sort());
  });
});

describe("the checks of the documents see", () => {
  const block = (info: string, code: string) => `\`\`\`${info}\n${code}\n\`\`\`\n`;

  test("a block that does not compile, at its own line", () => {
    const typeError = block("ts", `const sum: number = "one";`);
    const unknownName = block("ts", `shop.ordersBefore(1);`);

    const found = typeErrors({
      "a.md": `# A\n\n${typeError}`,
      "docs/b.md": typeError.replace(`"one"`, "1") + unknownName,
    });

    expect(found).toEqual([
      "a.md:4: Type 'string' is not assignable to type 'number'.",
      expect.stringContaining("docs/b.md:5: Property 'ordersBefore' does not exist"),
    ]);
  });

  test("the names of the module before in a continued block only", () => {
    const first = block("ts", "const one = 1;");
    const second = "const two: string = one;";

    const found = typeErrors({
      "a.md": `${first}then\n${block("ts continued", second)}`,
      "b.md": first + block("ts", second),
    });

    expect(found).toEqual([
      "a.md:6: Type 'number' is not assignable to type 'string'.",
      "b.md:5: Cannot find name 'one'.",
    ]);
  });

  test("what a block imports from another one that has a file name", () => {
    const one = block("ts", "// lib/one.ts\nexport const one = 1;");
    const two = block("ts", `// two.ts\nimport { one } from "./lib/one";\nconst two: string = one;`);

    expect(typeErrors({ "a.md": one + two, "b.md": two })).toEqual([
      "a.md:8: Type 'number' is not assignable to type 'string'.",
      "b.md:3: Cannot find module './lib/one' or its corresponding type declarations.",
    ]);
  });

  test("a block that would escape the compiler", () => {
    const text = ["ts", "ts continued", "sh", "json", "", "ts ignore", "typescript", "js"].map((info) =>
      block(info, "x"),
    );

    expect(uncompiledBlocks({ "a.md": text.join("") })).toEqual([
      "a.md:16: `ts ignore` is not `ts`",
      "a.md:19: `typescript` is not `ts`",
      "a.md:22: `js` is not `ts`",
    ]);
  });

  test("a banned word, in its line, but not the exceptions", () => {
    const markdown = "# Events\n\nThe caller is Told of `node:net`.\nReturned to who asked: it does not hold.\n";

    expect(bannedWords({ "a.md": markdown }).map((problem) => problem.split(":").slice(0, 3).join(":"))).toEqual([
      "a.md:3: “Told”",
      "a.md:4: “hold”",
      "a.md:4: “to who”",
    ]);
  });

  test("a name missing from the manual, invented by it, or named twice", () => {
    const table = "| code | meaning |\n|---|---|\n| `busy`, `old` | `not_this` |\n| `busy` | again |\n";
    const manual = `# Reference\n\n## Errors\n\n${table}\n## Other\n\n| name |\n|---|\n| \`other\` |\n`;

    expect(disagreements(namesInTable(manual, "Errors"), ["busy", "not_found"])).toEqual([
      "not_found is not in the manual",
      "old is only in the manual",
      "busy is in the manual twice",
    ]);
    expect(disagreements(namesInTable(manual, "Nothing"), [])).toEqual(["there is no table"]);
  });

  test("every name in the source", () => {
    const events = `interface Other { "a:b": 1 }\nexport interface Events<T> { "run:queued": { nested: T }; readonly "flow:overdue"?: 1 }\ninterface More extends Events<1>, Other { more: 1 }`;
    const errors = `export type ErrorCode = "a" | "b";\nclass A { readonly code = "a"; }\nclass C { readonly code: ErrorCode = "c"; }`;

    expect(membersOf(events, "Events")).toEqual(["run:queued", "flow:overdue"]);
    expect(membersOf(events, "More")).toEqual(["more", "run:queued", "flow:overdue", "a:b"]);
    expect(() => membersOf(events, "Nothing")).toThrow("no interface");
    expect(codesOfUnion(errors)).toEqual(["a", "b"]);
    expect(codesOfClasses(errors)).toEqual(["a", "c"]);
  });

  test("a link to no file, to no heading, or out of the repository", () => {
    const links = [
      "b.md#two-words",
      "b.md#it-1",
      "#a",
      "https://x.y/z",
      "/no",
      "gone.md",
      "b.md#gone",
      "#b",
      "../../b.md",
    ];
    const documents = {
      "docs/a.md": `# A\n${links.map((link) => `[to](${link})`).join(" ")} \`[code](nowhere)\`\n[ref]: gone.png`,
      "docs/b.md": "# Two *words*!\n## It\n## It\n",
    };

    const found = deadLinks(documents, (path) => path in documents);

    expect(found).toEqual(
      ["/no", "gone.md", "b.md#gone", "#b", "../../b.md", "gone.png"].map((link) => `docs/a.md → ${link}`),
    );
  });
});
