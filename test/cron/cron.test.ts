import { CronExpressionParser } from "cron-parser";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkCron, cronOf } from "../../src/cron/cron.ts";
import { fieldAt } from "../../src/cron/fields.ts";
import { Pattern } from "../../src/cron/pattern.ts";
import { tzDataVersion } from "../../src/cron/zone.ts";

const iso = (at: number | undefined) => (at === undefined ? undefined : new Date(at).toISOString().slice(0, -5) + "Z");
const at = (time: string) => Date.parse(time);

/** The first `count` due times after `after`. */
function dueAfter(expression: string, zone: string, after: string, count: number, seed = "flow"): readonly string[] {
  const due: string[] = [];
  let last: number | undefined = at(after);
  while (due.length < count && last !== undefined) {
    last = cronOf(expression, zone, seed).next(last);
    due.push(iso(last) ?? "never");
  }
  return due;
}

const messages = (expression: string, zone = "UTC") => checkCron(expression, zone).map(({ message }) => message);

describe("what is accepted", () => {
  test.each([
    ["0 2 * * *", "2030-01-01T02:00:00Z", "2030-01-02T02:00:00Z"],
    ["  0   2\t* * *\n", "2030-01-01T02:00:00Z", "2030-01-02T02:00:00Z"],
    ["? 0 2 ? * *", "2030-01-01T02:00:00Z", "2030-01-02T02:00:00Z"],
    ["0 0 2 * * ?", "2030-01-01T02:00:00Z", "2030-01-02T02:00:00Z"],
    ["? 0 2 ? * ?", "2030-01-01T02:00:00Z", "2030-01-02T02:00:00Z"],
    ["? 0,15,30,45 * ? * *", "2030-01-01T00:15:00Z", "2030-01-01T00:30:00Z"],
    ["? 5 9 ? * 1,2,3,4,5", "2030-01-01T09:05:00Z", "2030-01-02T09:05:00Z"],
    ["0 0 1 * ?", "2030-02-01T00:00:00Z", "2030-03-01T00:00:00Z"],
    ["0 0 ? * FRI", "2030-01-04T00:00:00Z", "2030-01-11T00:00:00Z"],
    ["0 0 * jan,Feb mon-WED", "2030-01-02T00:00:00Z", "2030-01-07T00:00:00Z"],
    ["0 0 * * 7", "2030-01-06T00:00:00Z", "2030-01-13T00:00:00Z"],
    ["0 0 * * 5-7", "2030-01-04T00:00:00Z", "2030-01-05T00:00:00Z"],
    ["0 0 L * *", "2030-01-31T00:00:00Z", "2030-02-28T00:00:00Z"],
    ["0 0 15,L * *", "2030-01-15T00:00:00Z", "2030-01-31T00:00:00Z"],
    ["0 0 * * FRIL", "2030-01-25T00:00:00Z", "2030-02-22T00:00:00Z"],
    ["0 0 * * 7L", "2030-01-27T00:00:00Z", "2030-02-24T00:00:00Z"],
    ["0 0 * * THU#5", "2030-01-31T00:00:00Z", "2030-05-30T00:00:00Z"],
    ["0 0 13 * 5", "2030-01-04T00:00:00Z", "2030-01-11T00:00:00Z"],
    ["0 0 31 2 MON", "2030-02-04T00:00:00Z", "2030-02-11T00:00:00Z"],
    ["1-5,3,5 0 * * *", "2030-01-01T00:01:00Z", "2030-01-01T00:02:00Z"],
    ["@hourly", "2030-01-01T01:00:00Z", "2030-01-01T02:00:00Z"],
    ["@daily", "2030-01-02T00:00:00Z", "2030-01-03T00:00:00Z"],
    ["@weekly", "2030-01-06T00:00:00Z", "2030-01-13T00:00:00Z"],
    ["@monthly", "2030-02-01T00:00:00Z", "2030-03-01T00:00:00Z"],
    ["@yearly", "2031-01-01T00:00:00Z", "2032-01-01T00:00:00Z"],
    ["@minutely", "2030-01-01T00:01:00Z", "2030-01-01T00:02:00Z"],
  ])("%j is due first at %s and then at %s", (expression, first, second) => {
    expect(messages(expression)).toEqual([]);
    expect(dueAfter(expression, "UTC", "2030-01-01T00:00:00Z", 2)).toEqual([first, second]);
  });

  test.each([
    ["30 * * * * *", "2030-01-01T00:00:30Z", "2030-01-01T00:01:30Z"],
    ["30,30 * * * * *", "2030-01-01T00:00:30Z", "2030-01-01T00:01:30Z"],
    ["5-5 * * * * *", "2030-01-01T00:00:05Z", "2030-01-01T00:01:05Z"],
    ["0/60 * * * * *", "2030-01-01T00:01:00Z", "2030-01-01T00:02:00Z"],
  ])("%j names a single second, so it is due at that second of the minute", (expression, first, second) => {
    expect(messages(expression)).toEqual([]);
    expect(dueAfter(expression, "UTC", "2030-01-01T00:00:00Z", 2)).toEqual([first, second]);
  });

  test("due times are those of cron-parser where no clock changes, for every kind of field", () => {
    const item = (values: readonly string[]) => fc.constantFrom(...values);
    const anyExpression = fc.tuple(
      item(["*", "0", "7,12,59", "*/7", "10-20", "10-40/15", "50/3"]),
      item(["*", "0", "3,5,23", "*/5", "9-17", "1-20/6", "20/2"]),
      item(["*", "?", "1", "31", "29-31", "*/10", "L", "5,L", "15,16"]),
      item(["*", "2", "JAN,jun", "*/5", "4-9", "3-11/4"]),
      item(["*", "?", "0", "7", "MON-FRI", "1,3", "5L", "SUN#2", "2#5", "*/2", "6-7"]),
    );
    fc.assert(
      fc.property(anyExpression, fc.integer({ min: 0, max: at("2040-01-01T00:00:00Z") }), (fields, after) => {
        const expression = fields.join(" ");
        fc.pre(messages(expression).length === 0);
        const theirs = CronExpressionParser.parse(expression, { tz: "UTC", currentDate: new Date(after) });

        let last: number | undefined = after;
        for (const due of theirs.take(5)) {
          last = cronOf(expression, "UTC", "").next(last ?? NaN);
          expect(iso(last)).toBe(iso(due.getTime()));
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("what is refused", () => {
  const counted =
    "expected five fields (minute, hour, day of month, month, day of week), or six with seconds first, found";
  const named = 'expected a name such as "@hourly", "@daily", "@weekly", "@monthly" or "@yearly", found';

  test.each([
    ["", `${counted} an empty schedule`],
    [" \t\n", `${counted} an empty schedule`],
    ["5", `${counted} only one in "5"`],
    ["* * *", `${counted} 3 in "* * *"`],
    ["0 0 * *", `${counted} 4 in "0 0 * *"`],
    ["0 0 0 1 1 * 2030", `${counted} 7 in "0 0 0 1 1 * 2030"`],
    ["@fortnightly", `${named} "@fortnightly"`],
    ["@Daily", `${named} "@Daily"`],
    ["@reboot", `${named} "@reboot"`],
    ["@daily @daily", `${counted} 2 in "@daily @daily"`],
  ])(
    "%j, which cron-parser would fill up with every or refuse unclearly, naming what was found",
    (expression, message) => {
      expect(messages(expression)).toEqual([message]);
    },
  );

  test("an expression of more than 1,024 characters, without repeating it", () => {
    const [message, ...more] = messages(`${"0,".repeat(600)}0 * * * *`);

    expect(message).toMatch(/in at most 1024 characters, found 1209 characters$/);
    expect(more).toEqual([]);
  });

  test.each(["*", "*/30", "0,30", "0-5", "H/30", "H/59", "H,30", "0/59", "*/59", "58/1"])(
    "seconds %j, which can start a flow twice in a minute",
    (seconds) => {
      expect(messages(`${seconds} * * * * *`)).toEqual([
        `seconds: expected a single one, as a flow is due at most once a minute, found "${seconds}"`,
      ]);
    },
  );

  test("@secondly, because it can start a flow sixty times in a minute", () => {
    expect(messages("@secondly")).toHaveLength(1);
  });

  test.each([
    ["0 0 31 2 *", "31", "2"],
    ["0 0 30 2 *", "30", "2"],
    ["0 0 30,31 FEB ?", "30,31", "FEB"],
    ["0 0 31 4,6,9,11 *", "31", "4,6,9,11"],
    ["0 0 31 H *", "31", "H"],
    ["0 0 31 H/12 *", "31", "H/12"],
  ])("%j, whose date never comes, or for some flows never comes", (expression, days, months) => {
    expect(messages(expression)).toEqual([
      `expected a date that comes, found day of month "${days}" in month "${months}"`,
    ]);
  });

  test.each(["30 1-2/1 * 3 0L", "H 1-2/1 ? MAR SUNL", "30 1-2/1 * H 0L", "30 1-2/1 * 3 HL", "30 1-2/1 * H HL"])(
    "%j in a zone whose clock always skips it, or for some flows always skips it",
    (expression) => {
      const message = `expected a time that comes in "Antarctica/Troll", found "${expression}", which its clock skips`;

      expect(checkCron(expression, "Antarctica/Troll")).toEqual([{ field: "schedule", message }]);
      expect(() => cronOf(expression, "Antarctica/Troll", "flow")).toThrow(new RangeError(`schedule: ${message}`));
      expect(messages(expression, "Europe/Oslo")).toEqual([]);
    },
  );

  test.each(["30 1,2 * 3 0L", "30 1-3/1 * 3 0L", "30 1-2/1 * 3,4 0L", "30 1-2/1 30 3 *", "30 H * 3 0L"])(
    "but not %j, which the clock skips on some days only, or which is made up for",
    (expression) => {
      expect(messages(expression, "Antarctica/Troll")).toEqual([]);
      expect(cronOf(expression, "Antarctica/Troll", "flow").next(at("2030-01-01T00:00:00Z"))).toBeDefined();
    },
  );

  test.each(["Mars/Base", "", " ", "UTC ", "BST", "Berlin"])("%j, which is no time zone", (zone) => {
    expect(checkCron("* * * * *", zone)).toEqual([
      {
        field: "timezone",
        message: `expected an IANA time zone such as "Europe/Berlin", found ${JSON.stringify(zone)}`,
      },
    ]);
  });

  test.each([
    ["60 * * * *", "minute", "60"],
    ["0 24 * * *", "hour", "24"],
    ["0 0 0 * *", "day of month", "0"],
    ["0 0 * 13 *", "month", "13"],
    ["0 0 * MARCH *", "month", "MARCH"],
    ["0 0 * * 8", "day of week", "8"],
    ["0 0 * * L", "day of week", "L"],
    ["0 0 * * 1#6", "day of week", "1#6"],
    ["0 0 * * 1#2,3", "day of week", "1#2,3"],
    ["0 0 5L * *", "day of month", "5L"],
    ["5-1 * * * *", "minute", "5-1"],
    ["*/0 * * * *", "minute", "*/0"],
    ["1--2 * * * *", "minute", "1--2"],
    ["H * HL * *", "day of month", "HL"],
    ["1-H * * * *", "minute", "1-H"],
    ["0 0 * * FOO", "day of week", "FOO"],
  ])("%j, naming the %s field and %j in it", (expression, field, found) => {
    const [message, ...more] = messages(expression);

    expect(message).toMatch(new RegExp(`^${field}: expected `));
    expect(message?.endsWith(`, found ${JSON.stringify(found)}`)).toBe(true);
    expect(more).toEqual([]);
  });

  test.each(["? * * * *", "0 ? * * *", "0 0 * ? *", "0 0 ?/2 * *", "0 0 ?,5 * *", "?/30 0 0 * * *"])(
    "%j, where ? would silently mean every",
    (expression) => {
      expect(messages(expression).join()).toContain('expected "?" only alone');
    },
  );

  test.each([
    "H-50 * * * *",
    "HH * * * *",
    "H(5-3) * * * *",
    "H(50-70) * * * *",
    "H/0 * * * *",
    "H/61 * * * *",
    "0 0 H(1-31) * *",
  ])("%j, which would be fine for some flows and not for others, or never", (expression) => {
    expect(messages(expression).join()).toContain("expected H, H/step, H(from-to) or H(from-to)/step in ");
  });

  test("all that is wrong at once: each item of each field, and the zone", () => {
    const problems = checkCron("61,5,62 99 * FOO *", "Mars/Base");

    expect(problems.map(({ field, message }) => `${field} ${message.replace(/: .*, found/, "")}`)).toEqual([
      'schedule minute "61" in "61,5,62"',
      'schedule minute "62" in "61,5,62"',
      'schedule hour "99"',
      'schedule month "FOO"',
      'timezone expected an IANA time zone such as "Europe/Berlin", found "Mars/Base"',
    ]);
  });

  test("cronOf throws a RangeError with the same words", () => {
    expect(() => cronOf("* * *", "UTC", "flow")).toThrow(RangeError);
    expect(() => cronOf("* * *", "Mars/Base", "flow")).toThrow(/^schedule: .*found 3.*; timezone: .*"Mars\/Base"$/);
    expect(() => cronOf("* * * * *", "Mars/Base", "flow")).toThrow(/"Mars\/Base"$/);
  });

  test("a refused expression is refused again the second time", () => {
    expect(messages("0 0 31 2 *")).toEqual(messages("0 0 31 2 *"));
    expect(() => cronOf("0 0 31 2 *", "UTC", "")).toThrow(RangeError);
    expect(() => cronOf("0 0 31 2 *", "UTC", "")).toThrow(RangeError);
  });
});

describe("H", () => {
  const slot = (expression: string, seed: string) => dueAfter(expression, "UTC", "2030-01-01T00:00:00Z", 1, seed)[0];

  test("gives a flow the same slot always, whatever happens to the parser", () => {
    expect(slot("H * * * *", "0193d2a0-0000-7000-8000-000000000001")).toBe("2030-01-01T00:28:00Z");
    expect(slot("H H H H *", "0193d2a0-0000-7000-8000-000000000001")).toBe("2030-10-04T05:28:00Z");
    expect(slot("0 0 * * H", "0193d2a0-0000-7000-8000-000000000001")).toBe("2030-01-02T00:00:00Z");
  });

  test("draws each field on its own, so that a fixed minute does not move the hour", () => {
    const hour = (expression: string, seed: string) => slot(expression, seed)?.slice(11, 13);

    for (let i = 0; i < 50; i++) expect(hour("0 H * * *", `flow ${i}`)).toBe(hour("H H * * *", `flow ${i}`));
  });

  test("gives the slots that cron-parser gives with the same seed, where both draw from the same range", () => {
    for (const expression of ["H * * * *", "H H * * *", "H/15 H(9-17) * * *", "H(10-50)/7 H/6 * H *", "H H 0 1 H *"])
      for (let i = 0; i < 40; i++) {
        const theirs = CronExpressionParser.parse(expression, {
          tz: "UTC",
          currentDate: "2030-01-01T00:00:00Z",
          hashSeed: `flow ${i}`,
        });
        const due = theirs.take(3).map((date) => iso(date.getTime()));

        expect(dueAfter(expression, "UTC", "2030-01-01T00:00:00Z", 3, `flow ${i}`)).toEqual(due);
      }
  });

  test("spreads flows over the whole range", () => {
    const minutes = new Set(Array.from({ length: 2_000 }, (_, i) => slot("H * * * *", `flow ${i}`)));

    expect(minutes.size).toBe(60);
  });

  test("in the day of month is a day that every month has", () => {
    for (let i = 0; i < 200; i++) {
      const due = dueAfter("0 0 H * *", "UTC", "2030-01-15T00:00:00Z", 3, `flow ${i}`);
      const months = due.map((time) => Number(time.slice(5, 7)));
      expect((months[1] ?? 0) - (months[0] ?? 0)).toBe(1);
      expect((months[2] ?? 0) - (months[1] ?? 0)).toBe(1);
    }
  });

  test("is valid for every seed or for none: no flow is refused because of its slot", () => {
    const fields = ["H", "H,30", "H/7", "H(1-5)", "H(0-6)/7", "H,H", "H/59,H", "H#2", "HL"];
    const anyExpression = fc.tuple(...[0, 1, 2, 3, 4].map(() => fc.constantFrom("*", "5", ...fields)));
    fc.assert(
      fc.property(anyExpression, fc.string(), (chosen, seed) => {
        const expression = chosen.join(" ");
        fc.pre(messages(expression).length === 0);

        expect(cronOf(expression, "UTC", seed).next(0)).toBeGreaterThan(0);
      }),
      { numRuns: 300 },
    );
  });

  test("works without a seed, always in the same way", () => {
    expect(slot("H H * * *", "")).toBe(slot("H H * * *", ""));
  });
});

describe("when clocks change", () => {
  test.each([
    ["30 2 * * *", "Europe/Berlin", "2030-03-30T12:00:00Z", ["2030-03-31T01:00:00Z", "2030-04-01T00:30:00Z"]],
    ["30 2 * * *", "Europe/Berlin", "2030-10-26T12:00:00Z", ["2030-10-27T00:30:00Z", "2030-10-28T01:30:00Z"]],
    ["15 2 * * *", "Australia/Lord_Howe", "2030-10-05T00:00:00Z", ["2030-10-05T15:30:00Z", "2030-10-06T15:15:00Z"]],
    ["45 1 * * *", "Australia/Lord_Howe", "2030-04-06T00:00:00Z", ["2030-04-06T14:45:00Z", "2030-04-07T15:15:00Z"]],
    ["0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", ["2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"]],
    ["0 0 * * *", "Africa/Cairo", "2024-04-25T12:00:00Z", ["2024-04-25T22:00:00Z", "2024-04-26T21:00:00Z"]],
    ["0 0 * * *", "Asia/Beirut", "2024-03-30T12:00:00Z", ["2024-03-30T22:00:00Z", "2024-03-31T21:00:00Z"]],
    ["30 1 * * *", "Antarctica/Troll", "2024-03-30T12:00:00Z", ["2024-03-31T01:00:00Z", "2024-03-31T23:30:00Z"]],
    ["30 2 * * *", "Asia/Jerusalem", "2024-03-28T23:59:59.999Z", ["2024-03-29T00:00:00Z", "2024-03-29T23:30:00Z"]],
    ["0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", ["2011-12-30T10:00:00Z", "2012-12-29T22:00:00Z"]],
  ])("%j in %s fires once on the day of the change after %s", (expression, zone, after, due) => {
    expect(dueAfter(expression, zone, after, 2)).toEqual(due);
  });

  test("several fixed times in one gap, and one at its end, make one due time", () => {
    expect(dueAfter("0,15,45 2,3 * * *", "Europe/Berlin", "2030-03-31T00:00:00Z", 3)).toEqual([
      "2030-03-31T01:00:00Z",
      "2030-03-31T01:15:00Z",
      "2030-03-31T01:45:00Z",
    ]);
  });

  test("a fixed time with seconds fires at its second after the gap, so never twice in a minute", () => {
    expect(dueAfter("30 0 2,3 * * *", "Europe/Berlin", "2030-03-31T00:00:00Z", 2)).toEqual([
      "2030-03-31T01:00:30Z",
      "2030-04-01T00:00:30Z",
    ]);
  });

  test("a step of hours leaves out an hour that the clock skips, without an extra run after it", () => {
    expect(dueAfter("0 */2 * * *", "Europe/Berlin", "2030-03-30T22:30:00Z", 3)).toEqual([
      "2030-03-30T23:00:00Z",
      "2030-03-31T02:00:00Z",
      "2030-03-31T04:00:00Z",
    ]);
  });

  test("a step of hours fires once in an hour that the clock shows twice", () => {
    expect(dueAfter("0 */2 * * *", "Europe/Berlin", "2030-10-26T22:00:00Z", 3)).toEqual([
      "2030-10-27T00:00:00Z",
      "2030-10-27T03:00:00Z",
      "2030-10-27T05:00:00Z",
    ]);
  });

  test.each(["*/30 * * * *", "*/30 0-23 * * *", "*/30 */1 * * *", "0,30 0-11,12-23 * * *"])(
    "%j names every hour, so it keeps every half hour through a repeated hour and a gap",
    (expression) => {
      const halfHours = (from: string) => Array.from({ length: 6 }, (_, i) => iso(at(from) + i * 1_800_000));

      expect(dueAfter(expression, "Europe/Berlin", "2030-10-26T23:59:00Z", 6)).toEqual(
        halfHours("2030-10-27T00:00:00Z"),
      );
      expect(dueAfter(expression, "Europe/Berlin", "2030-03-30T23:59:00Z", 6)).toEqual(
        halfHours("2030-03-31T00:00:00Z"),
      );
    },
  );

  test("an hour named beside a step is a fixed time, as is a step that names only one", () => {
    expect(dueAfter("0 */6,2 * * *", "Europe/Berlin", "2030-03-31T00:00:00Z", 1)).toEqual(["2030-03-31T01:00:00Z"]);
    expect(dueAfter("0 2-2/1 * * *", "Europe/Berlin", "2030-03-31T00:00:00Z", 1)).toEqual(["2030-03-31T01:00:00Z"]);
  });

  test("a fixed date is decided by the local calendar, not the UTC one", () => {
    expect(dueAfter("0 0 1 1 *", "Pacific/Kiritimati", "2030-01-01T00:00:00Z", 1)).toEqual(["2030-12-31T10:00:00Z"]);
    expect(dueAfter("0 23 31 12 *", "Pacific/Pago_Pago", "2030-01-01T11:00:00Z", 1)).toEqual(["2031-01-01T10:00:00Z"]);
  });
});

describe("next", () => {
  test("is strictly after, even by a millisecond", () => {
    const cron = cronOf("0 2 * * *", "UTC", "");

    expect(iso(cron.next(at("2030-01-01T01:59:59.999Z")))).toBe("2030-01-01T02:00:00Z");
    expect(iso(cron.next(at("2030-01-01T02:00:00Z")))).toBe("2030-01-02T02:00:00Z");
    expect(iso(cron.next(at("2030-01-01T02:00:00Z") - 0.5))).toBe("2030-01-01T02:00:00Z");
  });

  test("finds 29 February across 2100, which has none", () => {
    expect(dueAfter("0 0 29 2 *", "Europe/Berlin", "2095-01-01T00:00:00Z", 3)).toEqual([
      "2096-02-28T23:00:00Z",
      "2104-02-28T23:00:00Z",
      "2108-02-28T23:00:00Z",
    ]);
  });

  test("finds a fifth Monday in February, which can be forty years away", () => {
    expect(dueAfter("0 0 * 2 1#5", "UTC", "2072-03-01T00:00:00Z", 1)).toEqual(["2112-02-29T00:00:00Z"]);
  });

  test.each([NaN, Infinity, -Infinity, 8.64e15, -8.64e15, 1e300])(
    "is undefined after %d, which is beyond all dates, and correct as before afterwards",
    (nonsense) => {
      const cron = cronOf("0 3 * * *", "Europe/Oslo", "");

      expect(cron.next(nonsense)).toBeUndefined();
      expect(cron.latest(nonsense, 0)).toBeUndefined();
      expect(iso(cron.next(at("2030-01-01T00:00:00Z")))).toBe("2030-01-01T02:00:00Z");
      expect(iso(cron.latest(at("2030-01-01T00:00:00Z"), 0))).toBe("2029-12-31T02:00:00Z");
    },
  );

  test("an accepted expression always has a later due time, in any zone and at any time", () => {
    const part = fc.constantFrom("*", "*/2", "1", "0", "2,3", "1-5", "2-11/3", "H", "L", "?", "29", "MON", "5#5");
    const anyCall = fc.record({
      fields: fc.array(part, { minLength: 5, maxLength: 6 }),
      zone: fc.constantFrom(...Intl.supportedValuesOf("timeZone")),
      after: fc.integer({ min: at("1850-01-01T00:00:00Z"), max: at("2300-01-01T00:00:00Z") }),
    });
    fc.assert(
      fc.property(anyCall, ({ fields, zone, after }) => {
        const expression = fields.join(" ");
        fc.pre(messages(expression, zone).length === 0);

        const next = cronOf(expression, zone, "flow").next(after);

        expect(next).toBeGreaterThan(after);
        expect(cronOf(expression, zone, "flow").next(next ?? NaN)).toBeGreaterThan(next ?? NaN);
      }),
      { numRuns: 500 },
    );
  });
});

describe("latest", () => {
  const cron = cronOf("0 2 * * *", "UTC", "");
  const [due, dayBefore] = [at("2030-01-02T02:00:00Z"), at("2030-01-01T02:00:00Z")];

  test("includes both ends", () => {
    expect(cron.latest(due, due)).toBe(due);
    expect(cron.latest(due - 1, dayBefore)).toBe(dayBefore);
    expect(cron.latest(due - 1, dayBefore + 1)).toBeUndefined();
    expect(cron.latest(due + 0.5, dayBefore + 0.5)).toBe(due);
  });

  test("is undefined if the bounds are the wrong way round", () => {
    expect(cron.latest(dayBefore, due)).toBeUndefined();
  });

  test("keeps to the bound of each call, also where the due time is cached", () => {
    expect(cron.latest(due + 5, 0)).toBe(due);
    expect(cron.latest(due + 6, due + 1)).toBeUndefined();
    expect(cron.latest(due + 7, due)).toBe(due);
  });

  test("is the last due time before a long silence, not the first that was found", () => {
    const burst = cronOf("*/7 9 1 1 *", "Europe/Berlin", "");

    expect(iso(burst.latest(at("2030-12-24T00:00:00Z"), 0))).toBe("2030-01-01T08:56:00Z");
  });

  test("costs a minutely flow that was down for a year no walk over half a million due times", () => {
    const minutely = cronOf("* * * * *", "Europe/Berlin", "");
    const [now, yearAgo] = [at("2030-06-01T12:00:30Z"), at("2029-06-01T12:00:00Z")];

    const before = performance.now();
    for (let i = 0; i < 100; i++) minutely.latest(now + i * 3_600_000, yearAgo);

    expect(performance.now() - before).toBeLessThan(500);
  });
});

describe("sharing", () => {
  test("flows with the same expression and zone share one object, whatever their ids and spaces", () => {
    expect(cronOf("*/5 * * * *", "UTC", "a")).toBe(cronOf("*/5 *  * * *", "UTC", "b"));
    expect(cronOf("? */5 * * * *", "UTC", "a")).toBe(cronOf("*/5 * * * *", "UTC", "b"));
    expect(cronOf("*/5 * * * *", "UTC", "a")).not.toBe(cronOf("*/5 * * * *", "Europe/Oslo", "a"));
  });

  test("flows with H share one object if they drew the same slot", () => {
    const crons = new Set(Array.from({ length: 1_000 }, (_, i) => cronOf("H * * * *", "UTC", `flow ${i}`)));

    expect(crons.size).toBe(60);
  });

  test("a schedule not used for a long time is dropped, one in use is kept", () => {
    const old = cronOf("11 11 11 11 *", "UTC", "");
    const used = cronOf("12 12 12 12 *", "UTC", "");
    for (let i = 0; i < 4_200; i++) {
      cronOf(`${i % 60} ${Math.floor(i / 60) % 24} ${1 + Math.floor(i / 1_440)} 5 *`, "UTC", "");
      if (i % 1_000 === 0) expect(cronOf("12 12 12 12 *", "UTC", "")).toBe(used);
    }

    expect(cronOf("11 11 11 11 *", "UTC", "")).not.toBe(old);
    expect(cronOf("12 12 12 12 *", "UTC", "")).toBe(used);
  });

  test("100,000 flows that are due every minute cost one parse and one computation each minute", () => {
    const start = at("2030-01-01T00:00:00Z");

    const before = performance.now();
    for (let i = 0; i < 100_000; i++) expectNext(start, i);
    const took = performance.now() - before;

    expect(took).toBeLessThan(2_000);
  });

  function expectNext(start: number, i: number): void {
    const due = cronOf("* * * * *", "America/New_York", `flow ${i}`).next(start + (i % 59_999));
    if (due !== start + 60_000) throw new Error(`flow ${i} is due at ${iso(due) ?? "no time"}`);
  }

  test("a cached due time is never returned for a call that it is too old for", () => {
    const instants = fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 2, maxLength: 20 });
    fc.assert(
      fc.property(instants, (quarters) => {
        const cron = cronOf("0 * * * *", "Asia/Kathmandu", "");
        for (const quarter of quarters) {
          const after = at("2030-01-01T00:15:00Z") + quarter * 900_000;
          const hours = Math.floor(quarter / 4);
          expect(cron.next(after)).toBe(at("2030-01-01T01:15:00Z") + hours * 3_600_000);
          expect(cron.latest(after, 0)).toBe(at("2030-01-01T00:15:00Z") + hours * 3_600_000);
        }
      }),
    );
  });
});

describe("what no expression that was checked comes to", () => {
  test("a zone that the runtime does not know is refused", () => {
    expect(() => cronOf("0 2 * * *", "Nowhere/Land", "flow").next(0)).toThrow(RangeError);
  });

  test("there is no seventh field, and no pattern of fewer than six", () => {
    expect(() => fieldAt(6)).toThrow(new RangeError("a schedule has no field 6"));
    expect(() => new Pattern([])).toThrow(new RangeError("a schedule has six fields"));
  });

  test("where the runtime has no process, the version of its tz data is unknown", () => {
    const { process } = globalThis;
    let version = "";
    try {
      Object.assign(globalThis, { process: undefined });
      version = tzDataVersion();
      Object.assign(globalThis, { process: { versions: {} } });
      version += `, ${tzDataVersion()}`;
    } finally {
      Object.assign(globalThis, { process });
    }

    expect(version).toBe("unknown, unknown");
  });
});
