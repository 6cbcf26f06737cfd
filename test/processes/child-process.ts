import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { build } from "tsup";
import type { Report } from "./child.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** A program, in one file that starts fast. */
export interface Program {
  readonly path: string;
  remove(): Promise<void>;
}

/** Bundles `name`.ts of this folder, such as "workers/worker". */
export async function bundle(name: string): Promise<Program> {
  await mkdir(join(root, ".work"), { recursive: true });
  const outDir = await mkdtemp(join(root, ".work/processes-"));
  await build({
    entry: { [name]: join(root, "test/processes", `${name}.ts`) },
    ...{ config: false, dts: false, silent: true, clean: false, outDir },
    ...{ format: ["cjs"], platform: "node", target: "node20", shims: true, removeNodeProtocol: false },
    noExternal: [/.*/],
    external: ["libsql", "better-sqlite3", "pg-native"],
  });
  return { path: join(outDir, `${name}.cjs`), remove: () => rm(outDir, { recursive: true }) };
}

/** A process of the host's, and what it reported so far. */
export class HostProcess<Reported extends { readonly what: string } = Report> {
  readonly reports: Reported[] = [];
  /** Resolves with the signal that ended it, or its exit code. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  #errors = "";
  #hasEnded = false;
  #heard: () => void = () => undefined;

  constructor(program: Program, setting: object) {
    this.#child = spawn(process.execPath, [program.path, JSON.stringify(setting)], { stdio: "pipe", cwd: root });
    const { stdout, stderr } = this.#child;
    if (stdout === null || stderr === null) throw new Error("the process has no pipes");
    stderr.on("data", (chunk: Buffer) => (this.#errors += chunk.toString()));
    const lines = createInterface(stdout);
    lines.on("line", (line) => {
      this.reports.push(JSON.parse(line) as Reported);
      this.#heard();
    });
    const closed = once(this.#child, "close") as Promise<[number | null, string | null]>;
    this.ended = closed.then(([code, signal]) => {
      this.#hasEnded = true;
      this.#heard();
      return signal ?? String(code);
    });
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error("the process did not start");
    return this.#child.pid;
  }

  /** All reports of this kind so far. */
  all<What extends Reported["what"]>(what: What): readonly Extract<Reported, { readonly what: What }>[] {
    return this.reports.filter((report): report is Extract<Reported, { readonly what: What }> => report.what === what);
  }

  /** Resolves when `isTrue` of what it said; rejects if it ends before. */
  async until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) {
      if (this.#hasEnded) throw new Error(`it ended early: ${JSON.stringify(this.reports)} ${this.#errors}`);
      await new Promise<void>((resolve) => (this.#heard = resolve));
    }
  }

  /** Resolves when it stands at the point where it was to halt. */
  halted(): Promise<void> {
    return this.until(() => this.reports.some(({ what }) => what === "halted"));
  }

  /** Lets it go on from there. */
  goOn(): void {
    this.#child.stdin?.write("\n");
  }

  /** Sends a signal; the process is there until `ended` says otherwise. */
  send(signal: "SIGKILL" | "SIGSTOP" | "SIGCONT" | "SIGTERM"): void {
    this.#child.kill(signal);
  }

  /** Ends it at once, and resolves when it is gone. */
  async kill(): Promise<void> {
    this.send("SIGKILL");
    await this.ended;
  }
}

/** Does `work` with each, `parallel` of them at a time. */
export async function inParallel<T>(
  all: readonly T[],
  parallel: number,
  work: (one: T) => Promise<void>,
): Promise<void> {
  const waiting = [...all];
  const workOn = async () => {
    for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) await work(one);
  };
  await Promise.all(Array.from({ length: parallel }, workOn));
}
