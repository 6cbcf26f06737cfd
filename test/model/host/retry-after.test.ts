import { expect, test } from "vitest";
import { retryAfter } from "../../../src/model/host/retry-after.ts";

test.each([
  ["0", 0],
  ["120", 120_000],
  [" 3 ", 3_000],
  ["1.5", 1_500],
])("%j is a number of seconds", (header, afterMs) => {
  expect(retryAfter(header)).toEqual({ afterMs });
});

test.each([
  ["the form of today", "Wed, 21 Oct 2026 07:28:05 GMT", "2026-10-21T07:28:05.000Z"],
  ["the form of RFC 850", "Sunday, 06-Nov-94 08:49:37 GMT", "1994-11-06T08:49:37.000Z"],
  ["the form of RFC 850, of this century", "Sunday, 01-Mar-26 00:00:00 GMT", "2026-03-01T00:00:00.000Z"],
  ["the form of asctime", "Sun Nov  6 08:49:37 1994", "1994-11-06T08:49:37.000Z"],
  ["the form of asctime, with two digits", "Tue Dec 15 23:59:59 2026", "2026-12-15T23:59:59.000Z"],
])("a date may have %s", (_, header, instant) => {
  expect(retryAfter(header)).toEqual({ afterMs: new Date(instant) });
});

test.each([null, undefined, "", "soon", "-5", "NaN", "1e9x", "Wed, 21 Foo 2026 07:28:00 GMT", 5 as unknown as string])(
  "%j says nothing",
  (header) => {
    expect(retryAfter(header)).toEqual({});
  },
);
