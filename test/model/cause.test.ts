import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { causeOf } from "../../src/model/cause.ts";
import { type Fault, faults } from "../../src/model/failure.ts";

const patternOf = (message: string) => causeOf({ fault: "reject", message }).pattern;

describe("the cause of a failure", () => {
  test.each([
    ["customer 507 has no VAT number", "customer # has no VAT number"],
    ['field "name" of "o-1" is missing', 'field "…" of "…" is missing'],
    ["field `name`: 'x' is not 'y'", 'field "…": "…" is not "…"'],
    ["it can't be, and won't be", "it can't be, and won't be"],
    ["order 01890a5d-ac96-774b-bcce-b302099a8057 is unknown", "order # is unknown"],
    ["no mailbox for jane.doe+x@shop.example.com here", "no mailbox for @ here"],
    ["order abcdefab-abcd-abcd-abcd-abcdefabcdef is unknown", "order # is unknown"],
    ["token a1b2c3d4 expired", "token # expired"],
    ["1,000.50 is more than -3", "# is more than -#"],
    ["503 POST /orders/17 answered 503 Service Unavailable", "# POST /orders/# answered # Service Unavailable"],
    ["", ""],
  ])("leaves out of %j what differs from record to record", (message, pattern) => {
    expect(patternOf(message)).toBe(pattern);
  });

  test("is the same for the same fault, code and pattern, and another one otherwise", () => {
    const cause = (fault: Fault, message: string, code?: string) =>
      causeOf({ fault, message, ...(code === undefined ? {} : { code }) }).cause;
    const known = cause("reject", "customer 1 has no VAT number");

    expect(known).toMatch(/^[\da-f]{16}$/);
    expect(cause("reject", "customer 2 has no VAT number")).toBe(known);
    const others = [
      cause("retry", "customer 1 has no VAT number"),
      cause("reject", "customer 1 has no VAT number", "E1"),
      cause("reject", "customer 1 has no name"),
    ];
    expect(new Set([known, ...others]).size).toBe(4);
  });

  test("of all messages of a kind is one, however many kinds there are", () => {
    const kinds = Array.from(
      { length: 300 },
      (_, kind) => "abcdefghij".charAt(kind % 10) + "x".repeat(Math.floor(kind / 10)),
    );
    const causes = new Map<string, Set<string>>();
    for (let number = 0; number < 3; number++)
      for (const kind of kinds) {
        const { cause } = causeOf({ fault: "retry", message: `${kind} ${number}` });
        causes.set(kind, (causes.get(kind) ?? new Set()).add(cause));
      }
    expect([...causes.values()].every(({ size }) => size === 1)).toBe(true);
    expect(new Set([...causes.values()].flatMap((some) => [...some])).size).toBe(kinds.length);
  });

  test("has a pattern of at most 200 characters that any database keeps", () => {
    fc.assert(
      fc.property(fc.constantFrom(...faults), fc.string({ unit: "binary", maxLength: 400 }), (fault, message) => {
        const { pattern } = causeOf({ fault, message });
        expect(pattern.length).toBeLessThanOrEqual(200);
      }),
    );
    expect(patternOf(`${"x".repeat(199)}😀`)).toBe("x".repeat(199));
    expect(patternOf("x".repeat(5_000))).toBe("x".repeat(200));
  });

  test.each([
    ["quotes", '"'],
    ["apostrophes", " 'a"],
    ["addresses", "a@"],
    ["dots", "a."],
    ["letters", "a"],
    ["digits", "1"],
    ["hexadecimal digits", "0a1b-"],
  ])("of a message of %s alone takes no longer than of any other", (_what, unit) => {
    const message = unit.repeat(2_000);
    const started = process.cpuUsage();
    for (let times = 0; times < 50; times++) patternOf(`${message}${times}`);
    // 50 of them take some milliseconds; found in time that grows with the square of the length they take seconds.
    expect(process.cpuUsage(started).user / 1_000).toBeLessThan(1_000);
  });
});
