import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { openPlace } from "../../../support/shared-database.ts";
import { createPlace, sharedKinds } from "./create-place.ts";

interface Line {
  readonly at?: number;
  readonly pausedAt?: number;
  readonly ready?: true;
}

class Child {
  readonly starts: number[] = [];
  pausedAt: number | undefined;
  errors = "";
  readonly ready: Promise<void>;
  readonly ended: Promise<unknown>;
  readonly #child: ChildProcess;

  constructor(plan: object) {
    const script = fileURLToPath(new URL("limits-child.ts", import.meta.url));
    this.#child = spawn(process.execPath, ["--import", "tsx", script, JSON.stringify(plan)], { stdio: "pipe" });
    this.ended = once(this.#child, "close");
    const { stdout, stderr } = this.#child;
    if (stdout === null || stderr === null) throw new Error("the process has no pipes");
    stderr.on("data", (chunk) => (this.errors += String(chunk)));
    let isReady: () => void = () => undefined;
    this.ready = new Promise((resolve) => (isReady = resolve));
    createInterface(stdout).on("line", (text) => {
      const { at, pausedAt, ready } = JSON.parse(text) as Line;
      if (at !== undefined) this.starts.push(at);
      if (pausedAt !== undefined) this.pausedAt = pausedAt;
      if (ready === true) isReady();
    });
  }

  begin(): void {
    this.#child.stdin?.write("\n");
  }

  async end(): Promise<void> {
    this.#child.stdin?.end();
    await this.ended;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

/** How many of the instants lie in the half-open window in which most of them do. */
function mostWithin(starts: readonly number[], windowMs: number): number {
  const sorted = [...starts].sort((one, other) => one - other);
  let first = 0;
  return sorted.reduce((most, at, nth) => {
    while ((sorted[first] ?? at) <= at - windowMs) first++;
    return Math.max(most, nth - first + 1);
  }, 0);
}

for (const { kind, missing } of sharedKinds) {
  describe.skipIf(missing !== undefined)(`limits in ${kind}${missing === undefined ? "" : `: ${missing}`}`, () => {
    const requests = 100;
    const perMs = 1_000;
    const start = async (...pauses: readonly (object | undefined)[]) => {
      const place = await createPlace(kind);
      const { database, close } = openPlace(place);
      onTestFinished(close);
      await database.query("create table poundlock_limits (name varchar(200) primary key, state text)");
      const children = pauses.map((pause) => new Child({ place, requests, perMs, pause }));
      onTestFinished(() => children.forEach((child) => child.kill()));
      await Promise.all(children.map((child) => child.ready));
      for (const child of children) child.begin();
      return children;
    };

    test("keep the rate of two processes: never more, and a share for each", { timeout: 60_000 }, async () => {
      const children = await start(undefined, undefined);
      const all = () => children.flatMap(({ starts }) => starts);
      // 600 starts at 100 a second: the first 100 at once, the others within five seconds at best.
      await expect.poll(() => all().length, { timeout: 40_000 }).toBeGreaterThanOrEqual(600);
      await Promise.all(children.map((child) => child.end()));

      expect(children.map(({ errors }) => errors)).toEqual(["", ""]);
      // A process writes down its start a moment after it, up to some milliseconds on a busy machine.
      expect(mostWithin(all(), perMs - 50)).toBeLessThanOrEqual(requests);
      for (const { starts } of children) expect(starts.length).toBeGreaterThan(60);
      const sorted = all().sort((one, other) => one - other);
      const seconds = ((sorted[599] ?? 0) - (sorted[0] ?? 0)) / 1_000;
      console.log(
        `${kind}: ${(500 / seconds).toFixed(1)} of ${requests} a second, at most ${mostWithin(all(), perMs)}`,
      );
    });

    test("pause for both when one is asked to", { timeout: 60_000 }, async () => {
      const children = await start({ after: 50, ms: 3_000 }, undefined);
      await expect.poll(() => children[0]?.pausedAt, { timeout: 30_000 }).toBeDefined();
      const pausedAt = children[0]?.pausedAt ?? 0;
      const later = () => children.map(({ starts }) => starts.filter((at) => at > pausedAt + 3_000).length);
      await expect.poll(() => Math.min(...later()), { timeout: 30_000 }).toBeGreaterThan(0);
      await Promise.all(children.map((child) => child.end()));

      // What was leased before may be used for a tenth of the window.
      const between = children.flatMap(({ starts }) => starts.filter((at) => at > pausedAt + 1_000 && at < pausedAt + 2_950)); // prettier-ignore
      expect(between).toEqual([]);
    });
  });
}
