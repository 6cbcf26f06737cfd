import { spawn } from "node:child_process";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { root } from "./scratch-tree.ts";

/** Which tests to run. */
export interface TestSelection {
  /** Paths of test files. */
  readonly files: readonly string[];
  /** Part of the titles to run, a regular expression; absent: all tests of the files. */
  readonly only?: string;
}

/** How a run of tests went. `failure`: the first test that failed, and its error; absent: all passed. */
export interface TestRunResult {
  readonly passed: number;
  readonly failure?: string;
}

interface Report {
  readonly numPassedTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly {
      readonly status: string;
      readonly fullName: string;
      readonly failureMessages: readonly string[];
    }[];
  }[];
}

/** How long one test may take: a mutation may make it wait for ever. */
const testTimeoutMs = 60_000;

/** How long all of them may take: a mutation may make them compute for ever, too. */
const runTimeoutMs = 240_000;

/**
 * Runs the chosen tests of a tree up to the first failure. Tests that do not end in time have failed, too.
 *
 * @throws Error if no test ran.
 */
export async function runTests(folder: string, { files, only }: TestSelection): Promise<TestRunResult> {
  const report = join(folder, "mutation-report.json");
  await rm(report, { force: true });
  const chosen = only === undefined ? [] : ["-t", only];
  const limits = [`--testTimeout=${testTimeoutMs}`, "--bail=1", "--maxWorkers=1", "--typecheck.enabled=false"];
  const output = ["--reporter=json", `--outputFile=${report}`];
  const { printed, timedOut } = await runVitest(folder, ["run", ...files, ...chosen, ...limits, ...output]);
  if (timedOut) return { passed: 0, failure: `the tests did not end within ${runTimeoutMs / 1_000} s` };
  const contents = await readFile(report, "utf8").catch(() => undefined);
  if (contents === undefined) throw new Error(`no test ran:\n${printed}`);
  return resultOf(JSON.parse(contents) as Report);
}

function resultOf({ numPassedTests: passed, testResults }: Report): TestRunResult {
  const failed = testResults.flatMap((file) => file.assertionResults).find(({ status }) => status === "failed");
  if (failed !== undefined)
    return { passed, failure: `${failed.fullName}: ${failed.failureMessages[0]?.split("\n")[0] ?? ""}` };
  // Tests that cannot even be loaded see nothing: such a mutation proves nothing either.
  const broken = testResults.find(({ status }) => status === "failed");
  if (broken !== undefined) throw new Error(`${broken.name} did not run:\n${broken.message}`);
  if (passed === 0) throw new Error("no test has such a title");
  return { passed };
}

function runVitest(folder: string, args: readonly string[]): Promise<{ printed: string; timedOut: boolean }> {
  const vitest = join(root, "node_modules/vitest/vitest.mjs");
  // A process group of its own: what hangs is often a worker of a worker.
  const child = spawn(process.execPath, [vitest, ...args], { cwd: folder, detached: true });
  let printed = "";
  let timedOut = false;
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (printed += String(chunk)));
  const killAll = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    } catch {
      // It has ended by itself.
    }
  };
  const timer = setTimeout(() => {
    timedOut = true;
    killAll();
  }, runTimeoutMs);
  process.once("exit", killAll);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", () => {
      clearTimeout(timer);
      process.off("exit", killAll);
      resolve({ printed, timedOut });
    });
  });
}
