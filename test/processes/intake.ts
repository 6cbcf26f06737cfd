import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Chance } from "../support/chance.ts";
import { importIds, keyOf, pageSize } from "./file-host.ts";
import type { IntakeReport, IntakeSetting } from "./intake-child.ts";
import { DeliveryFile, checkDeliveries, linesOf } from "../support/deliveries.ts";
import { HostProcess, type Program } from "./child-process.ts";

/** What came of killing processes that take events in. */
export interface IntakeFigures {
  readonly events: number;
  /** Kills of a process that had accepted an event. */
  readonly kills: number;
  /** Events that were being accepted when their process was killed; over all kills. */
  readonly inDoubt: number;
  /** Over both imports. */
  readonly repeated: number;
  readonly lost: number;
}

const stepMs = 2_000;

/**
 * Sends events one by one, 50 at a time, to one process after the other, each of which is killed at a random moment
 * while it takes in and moves them. Half of those in doubt are sent again, under the same ids.
 *
 * @throws if an event whose `accept` resolved does not reach both imports, or one that was not sent does.
 */
export async function killIntake(
  program: Program,
  { events, kills, chance }: { readonly events: number; readonly kills: number; readonly chance: Chance },
): Promise<IntakeFigures> {
  const folder = await mkdtemp(join(tmpdir(), "poundlock-intake-"));
  const numbers = (file: string) => linesOf(join(folder, file)).map(Number);
  let [inDoubt, life] = [0, 0];
  let doubtful: readonly number[] = [];
  const begin = () => {
    const sent = numbers("sent");
    const accepted = new Set(numbers("accepted"));
    doubtful = [...new Set(sent)].filter((n) => !accepted.has(n) && !abandoned.has(n));
    const again = doubtful.filter(() => chance.happens(0.5));
    for (const n of doubtful) if (!again.includes(n)) abandoned.add(n);
    inDoubt += doubtful.length;
    const from = sent.reduce((most, n) => Math.max(most, n + 1), 0);
    const setting: IntakeSetting = {
      ...{ folder, name: `life-${life}`, pages: 0, aheadMs: life * stepMs, maxCrashes: 1_000_000, answerMs: 1 },
      ...{ again, from, to: events },
    };
    life++;
    return new HostProcess<IntakeReport>(program, setting);
  };
  const abandoned = new Set<number>();
  for (let killed = 0; killed < kills; killed++) {
    const victim = begin();
    // What is left, spread over the kills that are left, so that none finds everything done.
    const share = Math.floor((events - numbers("accepted").length) / (kills - killed + 1));
    const enough = chance.between(1, Math.max(1, share));
    await victim.until(() => (victim.all("accepted").at(-1)?.events ?? 0) >= Math.min(enough, share));
    await pause(chance.next() * 5);
    await victim.kill();
    assert.deepEqual(victim.all("background:error"), []);
  }
  const last = begin();
  const code = await last.ended;
  assert.equal(code, "0", JSON.stringify(last.all("background:error")));

  const accepted = numbers("accepted").map((n) => keyOf({ n }));
  const sent = numbers("sent").map((n) => keyOf({ n }));
  let repeated = 0;
  for (const _importId of importIds) {
    const deliveries = new DeliveryFile(folder, _importId);
    const { lost } = checkDeliveries(deliveries, accepted);
    const check = checkDeliveries(deliveries, sent);
    assert.deepEqual({ lost, invented: check.invented }, { lost: [], invented: [] });
    assert(check.repeated <= kills * pageSize, `${check.repeated} events were repeated`);
    repeated += check.repeated;
  }
  assert.equal(new Set(sent).size, events, "every event was sent");
  await rm(folder, { recursive: true });
  return { events, kills, inDoubt, repeated, lost: 0 };
}
