import { type ChildProcess, execFile, exec, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const guides = readdirSync(`${root}docs/guides`)
  .filter((name) => name.endsWith(".md"))
  .map((name) => `docs/guides/${name}`);
const documents = ["README.md", "docs/http.md", ...guides];
const linesOf = (path: string) => readFileSync(root + path, "utf8").split("\n");
const curlLines = documents.flatMap((path) =>
  linesOf(path)
    .filter((line) => line.startsWith("curl "))
    .map((line) => ({ path, line })),
);
const serving =
  linesOf("docs/guides/serving-the-api.md").find((line) => line.includes("examples/http-server.ts")) ?? "";
const port = Number(/PORT=(\d+)/.exec(serving)?.[1]);

/** Why the lines cannot be run here; undefined if they can. */
async function hindrance(): Promise<string | undefined> {
  const curl = await promisify(execFile)("curl", ["--version"]).catch(() => undefined);
  if (curl === undefined) return "there is no curl here";
  return (await isTaken()) ? `somebody else listens on port ${port}` : undefined;
}

function isTaken(): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

const hinders = await hindrance();
if (hinders !== undefined) console.warn(`curl lines of the documents are skipped: ${hinders}`);

test("the guide names the port of its lines, and the documents have some", () => {
  expect(port).toBeGreaterThan(0);
  expect(curlLines.length).toBeGreaterThanOrEqual(8);
});

describe.skipIf(hinders !== undefined)("a curl line of the documents does what it says, as it is written", () => {
  let server: ChildProcess;

  beforeAll(async () => {
    // Its input stays open: the example goes on until that ends.
    server = spawn("sh", ["-c", `exec env ${serving}`], { cwd: root, stdio: ["pipe", "pipe", "inherit"] });
    const lines = createInterface({ input: server.stdout ?? process.stdin });
    for await (const line of lines) if (line.startsWith("curl ")) break;
  });

  afterAll(async () => {
    const ended = once(server, "exit");
    server.stdout?.resume();
    server.stdin?.end();
    expect(await ended).toEqual([0, null]);
  });

  test.each(curlLines)("$path: $line", async ({ line }) => {
    // To end a stream by its time is an exit code of curl's own.
    const { code, stdout } = await promisify(exec)(`${line} -sS --fail-with-body`).then(
      ({ stdout }) => ({ stdout, code: 0 }),
      (error: unknown) => error as { stdout: string; code: number },
    );

    expect({ code, stdout }).toEqual({ code: line.includes("/events") ? 28 : 0, stdout: expect.any(String) as string });
    if (line.includes("/events")) expect(stdout).toMatch(/^retry: \d+$/m);
    else expect(JSON.parse(stdout)).not.toHaveProperty("errors");
  });
});
