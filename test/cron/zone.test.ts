import { existsSync, readFileSync } from "node:fs";
import { afterEach, describe, expect, test, vi } from "vitest";
import { basisOf, checkCron, cronOf } from "../../src/cron/cron.ts";
import { Zone } from "../../src/cron/zone.ts";

const problems = (zone: string) => checkCron("0 9 * * *", zone);
const expected = 'expected an IANA time zone such as "Europe/Berlin"';

describe("a zone is accepted if it is a zone or link of the tz database", () => {
  test.each([
    ...[
      "Europe/London",
      "US/Pacific",
      "Asia/Calcutta",
      "Asia/Kolkata",
      "Etc/GMT+5",
      "Etc/GMT-14",
      "Etc/UTC",
      "Etc/UCT",
    ],
    ...["Europe/Kiev", "Europe/Kyiv", "America/Argentina/ComodRivadavia", "America/Port-au-Prince", "Antarctica/Troll"],
    ...["Arctic/Longyearbyen", "Brazil/East", "Canada/Newfoundland", "Chile/EasterIsland", "Mexico/BajaNorte"],
    ...["Atlantic/Reykjavik", "Australia/ACT", "Indian/Mahe", "Pacific/Apia", "Africa/Asmera", "America/Knox_IN"],
  ])("%s, an area and a place", (zone) => {
    expect(problems(zone)).toEqual([]);
  });

  test.each([
    ...["CET", "CST6CDT", "Cuba", "EET", "EST", "EST5EDT", "Egypt", "Eire", "GB", "GB-Eire", "GMT", "GMT+0", "GMT-0"],
    ...["GMT0", "Greenwich", "HST", "Hongkong", "Iceland", "Iran", "Israel", "Jamaica", "Japan", "Kwajalein", "Libya"],
    ...["MET", "MST", "MST7MDT", "NZ", "NZ-CHAT", "Navajo", "PRC", "PST8PDT", "Poland", "Portugal", "ROC", "ROK"],
    ...["Singapore", "Turkey", "UCT", "UTC", "Universal", "W-SU", "WET", "Zulu"],
  ])("%s, one of the names without a slash", (zone) => {
    expect(problems(zone)).toEqual([]);
  });

  test.each(["europe/berlin", "EUROPE/BERLIN", "utc", "gb-eire", "etc/gmt+5", "america/new_york"])(
    "%s, in upper or lower case",
    (zone) => {
      expect(problems(zone)).toEqual([]);
    },
  );

  test("and every zone that the runtime lists", () => {
    expect(Intl.supportedValuesOf("timeZone").filter((zone) => problems(zone).length > 0)).toEqual([]);
  });

  test("and every name in the tz database of this machine but Factory, which has no clock", (context) => {
    const file = "/usr/share/zoneinfo/tzdata.zi";
    if (!existsSync(file)) return context.skip(`this machine has no ${file}`);
    const lines = readFileSync(file, "utf8").split("\n");
    const names = lines.flatMap((line) => /^(?:Z|L \S+) (\S+)/.exec(line)?.[1] ?? []);

    expect(names.length).toBeGreaterThan(400);
    expect(names.filter((zone) => problems(zone).length > 0)).toEqual(["Factory"]);
  });
});

describe("a zone is refused, even if Intl accepts it:", () => {
  test.each([
    ...["ACT", "AET", "AGT", "ART", "AST", "BET", "BST", "CAT", "CNT", "CST", "CTT", "EAT", "ECT", "IET", "IST", "JST"],
    ...["MIT", "NET", "NST", "PLT", "PNT", "PRT", "PST", "SST", "VST", "bst", "Pst"],
    ...["CEST", "EDT", "PDT", "MSK", "AEST"],
  ])("%s, an abbreviation", (zone) => {
    expect(problems(zone)).toEqual([{ field: "timezone", message: `${expected}, found "${zone}"` }]);
  });

  test.each([
    ...["SystemV/PST8PDT", "SystemV/EST5", "systemv/ast4", "US/Pacific-New", "us/pacific-new"],
    ...["Canada/East-Saskatchewan", "Etc/Unknown", "Factory", "localtime", "posixrules", "leapseconds", "tzdata.zi"],
    ...["posix/Europe/Berlin", "right/UTC", "zone1970.tab", "Local", "system", "undefined", "constructor", "__proto__"],
  ])("%s, a file of the tz database, or a name that is not, or no longer, in it", (zone) => {
    expect(problems(zone)).toEqual([{ field: "timezone", message: `${expected}, found "${zone}"` }]);
  });

  test.each(["+02:00", "-0500", "+2", "UTC+2", "utc-05:00", "GMT+5", "GMT+00:00"])(
    "%s, an offset, naming the zones that are one",
    (zone) => {
      const message = `${expected}, or "Etc/GMT-2" for the fixed offset +02:00, found "${zone}"`;
      expect(problems(zone)).toEqual([{ field: "timezone", message }]);
    },
  );

  test.each([
    ...["", " ", "UTC ", " UTC", "Europe", "Europe/", "/Berlin", "Europe//Berlin", "Europe/Berlin/", "Europe/ Berlin"],
    ...[
      "Europe/Berlin\0",
      "Europe\\Berlin",
      "Europe.Berlin",
      "Berlin",
      "Z",
      "A",
      "EST5",
      "EST5EDT4",
      "CET-1CEST",
      "us",
    ],
    ...[
      "W. Europe Standard Time",
      "America/New York",
      "(GMT+01:00) Berlin",
      "\uff35TC",
      "Europe/\u212aiev",
      "Mars/Base",
    ],
    ...[
      "Etc/GMT+13",
      "Etc/GMT-15",
      "Etc/GMT+05",
      "Etc/",
      "[Europe/Berlin]",
      "Europe/Berlin,UTC",
      "a".repeat(1_000_000),
    ],
    `Europe/${"A/".repeat(500_000)}`,
  ])("%j, which is no name at all", (zone) => {
    const [problem, ...more] = problems(zone);

    expect(problem?.field).toBe("timezone");
    expect(problem?.message.startsWith(expected)).toBe(true);
    expect(problem?.message.length).toBeLessThan(250);
    expect(more).toEqual([]);
  });
});

describe("a runtime whose tz database is older than a zone", () => {
  afterEach(() => void vi.unstubAllGlobals());

  const Real = Intl.DateTimeFormat;
  class Older extends Real {
    constructor(locale?: string, options?: Intl.DateTimeFormatOptions) {
      if (options?.timeZone === "America/Punta_Arenas") throw new RangeError("Invalid time zone");
      super(locale, options);
    }
  }

  test("reports the zone and its own version as a problem, without an exception", () => {
    vi.stubGlobal("Intl", { ...Intl, DateTimeFormat: Older });

    const message = `${expected}, found "America/Punta_Arenas", which tz data ${process.versions.tz ?? ""} of this runtime lacks`;
    expect(problems("America/Punta_Arenas")).toEqual([{ field: "timezone", message }]);
    expect(basisOf("0 9 * * *", "America/Punta_Arenas", "")).toBeUndefined();
    expect(() => cronOf("0 9 * * *", "America/Punta_Arenas", "")).toThrow(RangeError);
  });

  test("does not spoil the zone for good: it is read again when it is needed again", () => {
    vi.stubGlobal("Intl", { ...Intl, DateTimeFormat: Older });
    expect(problems("America/Punta_Arenas")).toHaveLength(1);
    vi.unstubAllGlobals();

    expect(problems("America/Punta_Arenas")).toEqual([]);
  });
});

test("a runtime that shows no offset where there is none, as older ones do, is read as UTC", () => {
  const winterInLondon = { format: () => "1/1/2030, GMT" } as unknown as Intl.DateTimeFormat;

  expect(new Zone(winterInLondon).day(0)).toEqual({ offset: 0, change: undefined });
});
