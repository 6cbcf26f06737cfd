/** One check, for any test runner: `test(title, run)`. */
export interface TestCase {
  /** The promise it checks, as a sentence; unique among its cases. */
  readonly title: string;
  /** Rejects, saying why, if the promise is broken. */
  readonly run: () => Promise<void>;
}

/** A check that does not apply. */
export interface SkippedCase {
  readonly title: string;
  /** What would have to be there, or be declared, for it to apply. */
  readonly reason: string;
}

/** Checks that apply, in any order, and beside them those that do not, so that nothing is left out silently. */
export interface TestCases extends ReadonlyArray<TestCase> {
  readonly skipped: readonly SkippedCase[];
}

/** A case with the reason why it does not apply, if there is one. */
export interface Candidate extends TestCase {
  readonly skip?: string | undefined;
}

/** The cases that apply, and those left out. */
export function chooseCases(candidates: readonly Candidate[]): TestCases {
  const chosen = candidates.filter(({ skip }) => skip === undefined).map(({ title, run }) => ({ title, run }));
  const skipped = candidates.flatMap(({ title, skip }) => (skip === undefined ? [] : [{ title, reason: skip }]));
  return Object.assign(chosen, { skipped });
}
