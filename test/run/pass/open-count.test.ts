import { expect, test } from "vitest";
import { OpenCount } from "../../../src/run/pass/open-count.ts";

/** As the storage has them; `asked`: how often they were counted. */
class Counted {
  open = 0;
  asked = 0;
  readonly count: OpenCount;

  constructor(most: number) {
    this.count = new OpenCount(most, async () => {
      this.asked++;
      return this.open;
    });
  }

  /** Whether so many more were too many; they are stored then. */
  async add(numNew: number, _importId = "ledger"): Promise<boolean> {
    const isOver = await this.count.isOver(_importId, numNew);
    this.open += numNew;
    return isOver;
  }
}

test("the one that is too many is found at once, however seldom they are counted", async () => {
  const counted = new Counted(10_000);
  let isOver = false;

  while (!isOver) isOver = await counted.add(7);

  expect(counted.open).toBe(10_003);
  expect(counted.asked).toBeLessThan(20);
});

test("what others have stored is seen before half of the room is taken", async () => {
  const counted = new Counted(100);
  await counted.add(1);
  counted.open += 60;

  const found = [await counted.add(49), await counted.add(1)];

  expect(found).toEqual([false, true]);
});

test("imports are counted apart", async () => {
  const counted = new Counted(10);

  await counted.add(1, "ledger");
  await counted.add(1, "mailer");
  await counted.add(1, "mailer");

  expect(counted.asked).toBe(2);
});
