import { setImmediate } from "node:timers/promises";
import * as v8 from "node:v8";
import { expect, test } from "vitest";
import { FlowRegistry, MemoryStorage, Scheduler } from "../../src/index.ts";
import { WriteContext } from "../../src/run/destination/write-context.ts";
import { EarlyCommits } from "../../src/run/pass/early-commits.ts";
import { RunProgress } from "../../src/run/progress.ts";
import { ExportSource } from "../../src/run/source/export-source.ts";

type QueryObjects = (constructor: object, options: { readonly format: "summary" }) => readonly string[];

// Since Node 20.13; it looks after a full collection.
const { queryObjects } = v8 as unknown as { readonly queryObjects?: QueryObjects };

const classes = [WriteContext, EarlyCommits, RunProgress, ExportSource];

// Each look at the heap takes half a second, so that there is one for all of them: by a class that they have in common.
class Kept extends Object {}
for (const { prototype } of classes) Object.setPrototypeOf(prototype, Kept.prototype);

function countAll(): readonly number[] {
  const found = queryObjects?.(Kept, { format: "summary" }) ?? [];
  return classes.map(({ name }) => found.filter((summary) => summary.startsWith(`${name} {`)).length);
}

function newScheduler(): Scheduler {
  return new Scheduler(new FlowRegistry({ storage: new MemoryStorage() }));
}

test.skipIf(queryObjects === undefined)(
  "once there is a scheduler, an object of each class that pages are moved with outlives full collections, and more schedulers keep no more",
  async () => {
    newScheduler();
    await setImmediate();
    const kept = countAll();
    expect(kept).not.toContain(0);
    newScheduler();
    await setImmediate();
    await setImmediate();
    expect(countAll()).toEqual(kept);
  },
);
