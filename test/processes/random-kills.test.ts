import { expect, test } from "vitest";
import { Chance } from "../support/chance.ts";
import { killIntake } from "./intake.ts";
import { killAtRandom, killDuringOutages } from "./kills.ts";
import { runInPair } from "./pair.ts";
import { bundle } from "./child-process.ts";

// What `npm run test:soak:crashes` does at length.

test("one process after the other is killed at a random moment, and their one run loses nothing", async () => {
  const program = await bundle("child");

  const { kills, lost, repeated } = await killAtRandom(program, { kills: 20, chance: new Chance(1) });

  expect({ kills, lost }).toEqual({ kills: 20, lost: 0 });
  expect(repeated).toBeGreaterThan(0);
  await program.remove();
});

test("processes are killed while one of two imports is down for half of the time, and the other gets at most a page twice for each kill", async () => {
  const program = await bundle("child");

  const { lost, paused } = await killDuringOutages(program, { kills: 20, chance: new Chance(1) });

  expect(lost).toBe(0);
  expect(paused).toBeGreaterThan(0);
  await program.remove();
});

test("every event that was accepted is delivered, though processes that accept are killed", async () => {
  const program = await bundle("intake-child");

  const figures = await killIntake(program, { events: 1_000, kills: 5, chance: new Chance(1) });

  expect(figures).toMatchObject({ events: 1_000, kills: 5, lost: 0 });
  await program.remove();
});

test("two processes on one file run each run once, in its turn, and never two of a flow at once", async () => {
  const program = await bundle("pair-child");

  const { runs, shares } = await runInPair(program, { flows: 4, runs: 25 });

  expect(runs).toBe(200);
  expect(Math.min(...shares)).toBeGreaterThan(0);
  await program.remove();
});
