import { CronExpressionParser } from "cron-parser";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { basisOf, checkCron, cronOf } from "../../src/cron/cron.ts";

const messages = (expression: string) => checkCron(expression, "UTC").map(({ message }) => message);

/** An expression with `item` in one of its six fields, and in the others what is always valid. */
const withField = (index: number, item: string) => ["0", "0", "0", "*", "*", "*"].with(index, item).join(" ");

describe("an empty item of a list", () => {
  test.each([
    ["0 2, * * *", "hour", "2,"],
    ["0 ,2 * * *", "hour", ",2"],
    ["0 2,,14 * * *", "hour", "2,,14"],
    ["0 , * * *", "hour", ","],
    ["*, 2 * * *", "minute", "*,"],
    ["0 2 * * MON,", "day of week", "MON,"],
    ["0 2 * * 5L,", "day of week", "5L,"],
    ["0 2 1 1, *", "month", "1,"],
    ["0 2 ,L * *", "day of month", ",L"],
    ["H, 2 * * *", "minute", "H,"],
    ["0, 0 2 * * *", "seconds", "0,"],
  ])("in %j is refused, naming the %s field and %j", (expression, field, found) => {
    expect(messages(expression)).toEqual([
      `${field}: expected a value before and after each comma, found ${JSON.stringify(found)}`,
    ]);
  });

  test.each(["0 2,14 * * *", "0 2 * * MON,TUE", "0,30 2 1,15 1,7 *", "0 2 L,15 * 5L,1", "H,30 2 * * *"])(
    "is not in %j, which is accepted",
    (expression) => {
      expect(messages(expression)).toEqual([]);
    },
  );

  test("is reported once for each field, however many there are", () => {
    expect(messages(",,,, ,,,, * * *")).toHaveLength(2);
  });
});

describe("names", () => {
  test.each([
    ["0 0 1 JANFEB *", "month", "JANFEB"],
    ["0 0 1 JAN1 *", "month", "JAN1"],
    ["0 0 1 1JAN *", "month", "1JAN"],
    ["0 0 1 JANUARY *", "month", "JANUARY"],
    ["0 0 1 JAN. *", "month", "JAN."],
    ["0 0 1 JA *", "month", "JA"],
    ["0 0 1 MON *", "month", "MON"],
    ["0 0 1 JAN- *", "month", "JAN-"],
    ["0 0 1 */FEB *", "month", "*/FEB"],
    ["0 0 * * SUNMON", "day of week", "SUNMON"],
    ["0 0 * * SUN5", "day of week", "SUN5"],
    ["0 0 * * 0SUN", "day of week", "0SUN"],
    ["0 0 * * MONDAY", "day of week", "MONDAY"],
    ["0 0 * * MON-", "day of week", "MON-"],
    ["0 0 * * -MON", "day of week", "-MON"],
    ["0 0 * * MON-FRI-SUN", "day of week", "MON-FRI-SUN"],
    ["0 0 * * SAT-SUN", "day of week", "SAT-SUN"],
    ["0 0 * * JAN", "day of week", "JAN"],
    ["0 0 * * LMON", "day of week", "LMON"],
    ["0 0 * * MONLL", "day of week", "MONLL"],
    ["0 0 * * monl", "day of week", "monl"],
    ["0 0 * * \u017fun", "day of week", "\\u017fun"],
    ["0 0 MON * *", "day of month", "MON"],
    ["0 JAN * * *", "hour", "JAN"],
  ])("that run into something else, or are none of the field, are refused: %j", (expression, field, found) => {
    const [message, ...more] = messages(expression);

    expect(message?.startsWith(`${field}: expected `)).toBe(true);
    expect(message?.endsWith(`, found "${found}"`)).toBe(true);
    expect(more).toEqual([]);
  });

  test.each([
    ["0 0 1 JAN,FEB *", "0 0 1 1,2 *"],
    ["0 0 1 jan-MAR *", "0 0 1 1-3 *"],
    ["0 0 1 Jan-dec/5 *", "0 0 1 1,6,11 *"],
    ["0 0 1 NOV/1 *", "0 0 1 11,12 *"],
    ["0 0 * * sun,Mon", "0 0 * * 0,1"],
    ["0 0 * * MON-FRI/2", "0 0 * * 1,3,5"],
    ["0 0 * * FRI-7", "0 0 * * 0,5,6"],
    ["0 0 * * fri#2", "0 0 * * 5#2"],
    ["0 0 * * SatL", "0 0 * * 6L"],
  ])("of three letters are numbers, in upper or lower case: %j is %j", (names, numbers) => {
    expect(messages(names)).toEqual([]);
    expect(basisOf(names, "UTC", "")).toBe(basisOf(numbers, "UTC", ""));
  });
});

describe("a step", () => {
  test.each([
    ["*/90 * * * *", "minute: expected a step from 1 to 60 in 0-59"],
    ["*/61 * * * *", "minute: expected a step from 1 to 60 in 0-59"],
    ["*/0 * * * *", "minute: expected a step from 1 to 60 in 0-59"],
    ["*/00 * * * *", "minute: expected a step from 1 to 60 in 0-59"],
    ["*/ * * * *", "minute: expected a step from 1 to 60 in 0-59"],
    ["*/-5 * * * *", "minute: expected "],
    ["*/1.5 * * * *", "minute: expected a step from 1 to 60 in 0-59"],
    ["*/1e1 * * * *", "minute: expected a step from 1 to 60 in 0-59"],
    ["*/100 * * * *", "minute: expected a step from 1 to 60 in 0-59"],
    ["50/15 * * * *", "minute: expected a step from 1 to 10 in 50-59"],
    ["10-12/4 * * * *", "minute: expected a step from 1 to 3 in 10-12"],
    ["5-5/2 * * * *", "minute: expected a step only in a range of several values"],
    ["59/2 0 0 * * *", "seconds: expected a step only in a range of several values"],
    ["0 */25 * * *", "hour: expected a step from 1 to 24 in 0-23"],
    ["0 0 */32 * *", "day of month: expected a step from 1 to 31 in 1-31"],
    ["0 0 1 */13 *", "month: expected a step from 1 to 12 in 1-12"],
    ["0 0 * * */8", "day of week: expected a step from 1 to 7 in 0-7"],
    ["0 0 * * MON-FRI/6", "day of week: expected a step from 1 to 5 in 1-5"],
    ["1/2/3 * * * *", "minute: expected 0-59"],
    ["/5 * * * *", "minute: expected 0-59"],
    ["0 0 L/2 * *", "day of month: expected 1-31"],
    ["H/61 * * * *", "minute: expected H, H/step"],
    ["H(0-9)/11 * * * *", "minute: expected H, H/step"],
  ])("that is none, or larger than its range, is refused: %j", (expression, message) => {
    expect(messages(expression)).toHaveLength(1);
    expect(messages(expression)[0]).toContain(message);
    expect(messages(expression)[0]).toContain("found ");
  });

  test.each([
    ["*/60 * * * *", "0 * * * *"],
    ["*/05 * * * *", "*/5 * * * *"],
    ["0 */24 * * *", "0 0 * * *"],
    ["0 0 1 */12 *", "0 0 1 1 *"],
    ["0 0 */31 * *", "0 0 1 * *"],
    ["50/10 * * * *", "50 * * * *"],
    ["59/1 * * * *", "59 * * * *"],
  ])("as large as its range is accepted: %j is due when %j is", (step, single) => {
    expect(messages(step)).toEqual([]);
    for (const after of [0, 1_893_456_000_000])
      expect(cronOf(step, "UTC", "").next(after)).toBe(cronOf(single, "UTC", "").next(after));
  });
});

describe("a value or a range", () => {
  test.each([
    "-5",
    "5-",
    "-",
    "1-2-3",
    "1--3",
    "005",
    "1.0",
    "+5",
    "0x5",
    "1e1",
    "\uff15",
    "\u0665",
    "5\u200b",
    "**",
    "*5",
    "5*",
    "*-5",
    "1-*",
    "60",
    "5-60",
    "L",
    "5L",
    "5#2",
    "5W",
    "5;6",
    "5|6",
    "5+6",
    "~",
    "0~30",
    "5,x",
    "h",
    "N",
    "undefined",
    "constructor",
  ])("that is none is refused in the minute: %j", (item) => {
    const [message, ...more] = messages(`${item} * * * *`);

    expect(message).toMatch(/^minute: expected /);
    expect(more).toEqual([]);
  });

  test("that wraps around is refused, with what to write instead", () => {
    expect(messages("0 22-2 * * *")).toEqual([
      'hour: expected a range from a smaller value to a larger one, or a list of two ranges, found "22-2"',
    ]);
    expect(messages("0 22-23,0-2 * * *")).toEqual([]);
  });

  test("may have a leading zero", () => {
    expect(basisOf("05 02-04 01 * 00", "UTC", "")).toBe(basisOf("5 2-4 1 * 0", "UTC", ""));
  });

  test("that is not ASCII is shown with escapes, so that a full-width digit can be seen", () => {
    expect(messages("\uff10 2 * * *")[0]).toMatch(/found "\\uff10"$/);
  });

  test.each(["MON#1,MON#3", "MON#2,", "1-5#2", "*#1", "MON#", "MON#0", "MON#6", "MON#1#2", "#2", "2#MON", "5L#1"])(
    "with # is a single day of week with a number from 1 to 5, so %j is refused",
    (item) => {
      expect(messages(`0 0 * * ${item}`)).toEqual([
        `day of week: expected "#" only alone in its field, as in "MON#2", found "${item}"`,
      ]);
    },
  );

  test.each(["L-3", "LW", "15W", "1L", "LL", "l"])("with L is the last day of the month, so %j is refused", (item) => {
    expect(messages(`0 0 ${item} * *`)).toHaveLength(1);
  });

  test.each(["8L", "05L", "L5", "1-5L", "*L", "5LL", "H L"])(
    "with L is a single day of week, so %j is refused",
    (item) => {
      expect(messages(`0 0 * * ${item}`)).toHaveLength(1);
    },
  );
});

/** Every spelling of a value, in upper case: numbers with and without a leading zero, and names. */
function spellings(from: number, to: number, names: readonly string[] = []): (readonly [string, number])[] {
  const numbers = Array.from({ length: to - from + 1 }, (_, i) => from + i);
  return [
    ...numbers.map((number) => [`${number}`, number] as const),
    ...numbers.filter((number) => number < 10).map((number) => [`0${number}`, number] as const),
    ...names.map((name, i) => [name, from + i] as const),
  ];
}

/** Every valid item without `H` of a field, in upper case: an independent list, by writing all of them down. */
function validItems(from: number, to: number, distinct: number, names?: readonly string[]): Set<string> {
  const values = spellings(from, to, names);
  const items = new Set(values.map(([value]) => value).concat("*"));
  const addSteps = (span: string, size: number) => {
    for (const [step] of spellings(1, Math.min(size, distinct))) items.add(`${span}/${step}`);
  };
  addSteps("*", to - from + 1);
  for (const [start, low] of values) {
    addSteps(start, to - low + 1);
    for (const [end, high] of values.filter(([, high]) => low <= high)) {
      items.add(`${start}-${end}`);
      addSteps(`${start}-${end}`, high - low + 1);
    }
  }
  return items;
}

describe("of all items that can be written with some characters, exactly the valid ones are accepted", () => {
  const weekdays = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
  const months = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
  const special = (days: readonly string[]) =>
    days.flatMap((day) => [`${day}L`, ...[1, 2, 3, 4, 5].map((nth) => `${day}#${nth}`)]);
  const fields: readonly [name: string, index: number, characters: string, valid: Set<string>][] = [
    ["minute", 1, "0159/-*L", validItems(0, 59, 60)],
    ["hour", 2, "0129/-*L", validItems(0, 23, 24)],
    ["day of month", 3, "0139/-*L", validItems(1, 31, 31).add("L").add("?")],
    ["month", 4, "012/-*JAN", validItems(1, 12, 12, months)],
    [
      "day of week",
      5,
      "078/-*L#SUN",
      new Set([
        ...validItems(0, 7, 7, weekdays),
        ...special(["0", "1", "2", "3", "4", "5", "6", "7"]),
        ...special(weekdays),
        "?",
      ]),
    ],
  ];

  test.each(fields)("%s: up to four characters", (_name, index, characters, valid) => {
    const wrong: string[] = [];
    const tryAll = (item: string) => {
      if (item !== "" && (messages(withField(index, item)).length === 0) !== valid.has(item)) wrong.push(item);
      if (item.length < 4) for (const character of characters) tryAll(item + character);
    };
    tryAll("");

    expect(wrong).toEqual([]);
  });

  test.each(fields)(
    "%s: valid items of any length, and the same with one character more, less or other",
    (...field) => {
      const [, index, characters, valid] = field;
      const anyChange = fc.record({
        item: fc.constantFrom(...valid),
        place: fc.nat(8),
        removed: fc.nat(1),
        added: fc.constantFrom("", ...characters.split(""), ",", "?", "X", "\u0660"),
      });
      fc.assert(
        fc.property(anyChange, ({ item, place, removed, added }) => {
          const changed = item.slice(0, place) + added + item.slice(place + removed);
          fc.pre(changed !== "");
          const parts = changed.includes("#") ? [changed] : changed.split(",");
          const isValid =
            valid.has(changed) || (parts.length > 1 && parts.every((part) => part !== "?" && valid.has(part)));

          expect([changed, messages(withField(index, changed)).length === 0]).toEqual([changed, isValid]);
        }),
        { numRuns: 1_000 },
      );
    },
  );

  test.each(fields)("%s: cron-parser reads every one of them", (_name, index, _characters, valid) => {
    const places = ["0", "0", "0", "*", "*", "*"];
    const unread = [...valid].filter((item, i) => {
      if (i % 7 !== 0) return false;
      try {
        CronExpressionParser.parse(places.with(index, item).join(" "));
        return false;
      } catch {
        return true;
      }
    });

    expect(unread).toEqual([]);
  });
});

describe("a hostile expression of 1,024 characters", () => {
  const filled = (start: string, repeated: string, end: string) =>
    start + repeated.repeat(Math.floor((1_024 - start.length - end.length) / repeated.length)) + end;
  const hostile = [
    filled("", ",", " * * * *"),
    filled("", "x,", "x * * * *"),
    filled("", "\u00e9,", " * * * *"),
    filled("", "0-", "0 * * * *"),
    filled("", "0/", "1 * * * *"),
    filled("", "*/1,", "* * * * *"),
    filled("", "0-59/1,", "0 * * * *"),
    filled("", "H,", "H * * * *"),
    filled("", "H(0-59)/1,", "H * * * *"),
    filled("H(", "0", "-1) * * * *"),
    filled("H", "(0-1)", " * * * *"),
    filled("H ", "H,", "H H H H H"),
    filled("0 0 H H,", "H,", "H HL,HL"),
    filled("0 0 31 ", "H,", "H HL,H"),
    filled("0 0 * * ", "MON#", "1"),
    filled("0 0 * * ", "#", "1"),
    filled("0 0 * * ", "L", "L"),
    filled("0 0 * * ", "5L,", "5L"),
    filled("0 0 * ", "JAN", " *"),
    filled("0 0 ", "L,", "L * *"),
    filled("", "?", " * * * *"),
    filled("@", "a", "a"),
    filled("", " ", ""),
    filled("", "\t ", "*"),
    filled("", "* ", "*"),
    filled("", "0", " * * * *"),
    filled("", "9,".repeat(5) + "99-1/0,", "1 * * * *"),
    ...[0, 1, 2, 3, 4].map((i) => withField(i + 1, Array.from({ length: 330 }, (_, n) => n % 100).join(","))),
  ];

  test.each(hostile.map((expression) => [expression.slice(0, 20), expression]))(
    "is read at once: %s",
    (_, expression) => {
      expect(expression.length).toBeLessThanOrEqual(1_024);
      const before = process.cpuUsage();
      const problems = checkCron(expression, "Antarctica/Troll");
      if (problems.length === 0) cronOf(expression, "Antarctica/Troll", "flow").next(0);
      const { user } = process.cpuUsage(before);

      expect(user).toBeLessThan(1_000_000);
      expect(JSON.stringify(problems).length).toBeLessThan(32_000);
    },
  );

  test("has a basis of at most 512 characters if it is valid", () => {
    const lengths = hostile.map(
      (expression) => basisOf(expression, "America/Argentina/ComodRivadavia", "flow")?.length,
    );

    expect(lengths.filter((length) => length !== undefined).length).toBeGreaterThan(5);
    expect(Math.max(...lengths.map((length) => length ?? 0))).toBeLessThanOrEqual(512);
  });

  test("names five wrong items of a field, and counts the others", () => {
    const minutes = Array.from({ length: 20 }, (_, i) => 60 + i).join(",");

    expect(messages(`${minutes} 24 * * *`).map((message) => message.replace(/(found [^ ]*).*/, "$1"))).toEqual([
      ...[60, 61, 62, 63, 64].map(
        (n) => `minute: expected 0-59, or "*", lists, ranges or steps of these, found "${n}"`,
      ),
      "minute: found 15",
      'hour: expected 0-23, or "*", lists, ranges or steps of these, found "24"',
    ]);
  });
});
