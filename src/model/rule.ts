/** What a value that a host hands over has to be. */
export interface Rule {
  /** In words, to follow "expected". */
  readonly expected: string;
  readonly holds: (value: unknown) => boolean;
}

/** A field that breaks its rule. */
export interface Breach {
  readonly field: string;
  readonly expected: string;
  readonly found: unknown;
}

/** The first field, in the order of the rules, that breaks its rule. What has no rule may be anything. */
export function firstBreach(fields: object, rules: Readonly<Record<string, Rule>>): Breach | undefined {
  for (const [field, { expected, holds }] of Object.entries(rules)) {
    const found = (fields as Record<string, unknown>)[field];
    if (!holds(found)) return { field, expected, found };
  }
  return undefined;
}

/** The first field that has no rule, which is as wrong as a broken one: a typo must not be dropped silently. */
export function firstUnknown(fields: object, rules: Readonly<Record<string, Rule>>): Breach | undefined {
  const field = Object.keys(fields).find((name) => !Object.hasOwn(rules, name));
  return field === undefined ? undefined : { field, expected: `one of ${Object.keys(rules).join(", ")}`, found: field };
}

/** May be absent, or undefined. */
export function optional(rule: Rule): Rule {
  return { expected: rule.expected, holds: (value) => value === undefined || rule.holds(value) };
}

/** From `least` to `most`, both included. */
export function wholeFrom(least: number, most = Infinity): Rule {
  return {
    expected: most === Infinity ? `a whole number, ${least} or more` : `a whole number from ${least} to ${most}`,
    holds: (value) => Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= most,
  };
}

/** One of these texts, to the letter. */
export function oneOf(...names: readonly string[]): Rule {
  const expected = names.map((name) => JSON.stringify(name)).join(", ");
  return {
    expected: expected.replace(/, ([^,]*)$/, " or $1"),
    holds: (value) => names.includes(value as string),
  };
}

/** An object, or a function, with all of these methods. */
export function having(...methods: readonly string[]): Rule {
  return {
    expected: `an object with ${methods.join(", ").replace(/, ([^,]*)$/, " and $1")}`,
    holds: (value) => methods.every((name) => typeof (value as Record<string, unknown> | null)?.[name] === "function"),
  };
}

/** How much of a list is wanted. */
export const pageLimit = wholeFrom(1, 1_000);

/** Milliseconds, fractions included; never endless. */
export const duration: Rule = {
  expected: "a number of milliseconds, 0 or more",
  holds: (value) => Number.isFinite(value) && Number(value) >= 0,
};

/** A boolean, and nothing that only counts as one. */
export const truth: Rule = { expected: "true or false", holds: (value) => typeof value === "boolean" };

/** Any string, the empty one included. */
export const text: Rule = { expected: "a text", holds: (value) => typeof value === "string" };

/** Any strings, or none at all. */
export const texts: Rule = {
  expected: "an array of texts",
  holds: (value) => Array.isArray(value) && value.every(text.holds),
};

/** Anything that can be called. */
export const method: Rule = { expected: "a function", holds: (value) => typeof value === "function" };

/** What no database keeps as it is: a NUL, or half of a surrogate pair. */
export const unstorable = /[\0\p{Surrogate}]/u;

/** Ids that hosts choose themselves: what documents hold is trimmed, so another one could never be named. */
export const chosenId: Rule = {
  expected: "a text of 1 to 255 characters without spaces around it",
  holds: (value) =>
    typeof value === "string" &&
    value === value.trim() &&
    value !== "" &&
    value.length <= 255 &&
    !unstorable.test(value),
};
