import { expect, test } from "vitest";
import { routes } from "../../src/http/routes/routes.ts";
import { fuzz } from "./fuzz/fuzz.ts";

test("10,000 random requests, valid and invalid, in any order, get the responses of a model", async () => {
  const { requests, routes: reached, statuses } = await fuzz(300, 2);

  expect(requests).toBeGreaterThanOrEqual(10_000);
  // Streams are run in a suite of their own; every other route had a success, and was refused.
  const outcomes = routes
    // The model knows nothing of streams, places of imports and single failures: their tests are in suites of their own.
    .filter(({ path }) => !/^\/(events|failures)|\/(deliveries|checkpoint|resume|inbox)/.test(path))
    .map(({ method, path }) => [`${method} ${path}`, [...(reached.get(`${method} ${path}`) ?? [])]] as const);
  const lacking = outcomes.filter(
    ([, seen]) => !seen.some((status) => status < 400) || !seen.some((status) => status >= 400),
  );
  expect(lacking).toEqual([]);
  expect([...statuses.keys()].sort()).toEqual([
    200, 201, 202, 204, 304, 400, 403, 404, 405, 409, 412, 413, 415, 422, 429,
  ]);
});
