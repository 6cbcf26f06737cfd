import * as v from "valibot";
import { didYouMean } from "./suggest.ts";

/** Valibot. This file is the only one that imports the package. */
export * as v from "valibot";

/** A schema for each field of `T`. */
export type Shape<T extends object = Record<string, unknown>> = { readonly [Field in keyof T]-?: v.GenericSchema };

/** A field that is invalid. */
export interface FieldProblem {
  readonly field: string;
  /** In words, to follow "expected". */
  readonly expected: string;
  readonly found: unknown;
  /** For an unknown field, the end of the message: the known name it may be a typo of. Otherwise empty. */
  readonly hint: string;
}

/** A class of error made of a {@link FieldProblem}. */
export type ProblemError = new (
  field: string,
  expected: string,
  found: unknown,
  details?: { readonly hint?: string },
) => Error;

/**
 * Refuses fields that are unknown or invalid.
 *
 * @param place Comes before the field's name in the error, such as `retention.`.
 * @throws an `Invalid` for the first problem.
 */
export function validate(given: object, shape: Shape, Invalid: ProblemError, place = ""): void {
  checkObject(given, Invalid, place.slice(0, -1) || "options");
  const problem = unknownField(given, shape) ?? invalidField(given, shape);
  if (problem === undefined) return;
  const { field, expected, found, hint } = problem;
  throw new Invalid(place + field, expected, found, { hint });
}

/**
 * For what reads fields before it can validate them.
 *
 * @throws an `Invalid` naming `field` for what has no fields: null, say, or a string.
 */
export function checkObject(given: unknown, Invalid: ProblemError, field: string): void {
  if (typeof given !== "object" || given === null) throw new Invalid(field, "an object", given);
}

/** The first field, in the order of the shape, that is invalid. Fields outside the shape may be anything. */
export function invalidField(given: object, shape: Shape): FieldProblem | undefined {
  for (const [field, schema] of Object.entries(shape)) {
    const found = (given as Record<string, unknown>)[field];
    const expected = expectation(found, schema);
    if (expected !== undefined) return { field, expected, found, hint: "" };
  }
  return undefined;
}

/** The first field that the shape does not have: a typo must not be dropped silently. */
export function unknownField(given: object, shape: Shape): FieldProblem | undefined {
  const field = Object.keys(given).find((name) => !Object.hasOwn(shape, name));
  if (field === undefined) return undefined;
  const known = Object.keys(shape);
  return { field, expected: `one of ${known.join(", ")}`, found: field, hint: didYouMean(field, known) };
}

/** What the schema expects of the value, in words; undefined if the value is valid. */
export function expectation(value: unknown, schema: v.GenericSchema): string | undefined {
  return v.safeParse(schema, value, { abortEarly: true, abortPipeEarly: true }).issues?.[0].message;
}

/** From `least` to `most`, both included. */
export function wholeNumber(least: number, most = Infinity) {
  const words = most === Infinity ? `a whole number, ${least} or more` : `a whole number from ${least} to ${most}`;
  return v.pipe(v.number(words), v.safeInteger(words), v.minValue(least, words), v.maxValue(most, words));
}

/** One of these strings, to the letter. */
export function oneOf<const Names extends readonly string[]>(...names: Names) {
  return v.picklist(
    names,
    listInWords(
      names.map((name) => JSON.stringify(name)),
      "or",
    ),
  );
}

/** An object, or a function, with all of these methods. */
export function objectWith(methods: readonly string[], words = `an object with ${listInWords(methods, "and")}`) {
  const has = (value: unknown) =>
    methods.every((name) => typeof (value as Record<string, unknown> | null | undefined)?.[name] === "function");
  return v.custom<object>(has, words);
}

/** Any string, the empty one included. */
export const string = v.string("a string");

/** Any strings, or none at all. */
export const strings = v.array(v.string("an array of strings"), "an array of strings");

/** A boolean, and nothing that only counts as one. */
export const boolean = v.boolean("true or false");

/** Anything that can be called. */
export const callable = v.function("a function");

/** How much of a list is wanted. */
export const pageLimit = wholeNumber(1, 1_000);

const milliseconds = "a number of milliseconds, 0 or more";

/** Milliseconds, fractions included; never endless. */
export const duration = v.pipe(v.number(milliseconds), v.finite(milliseconds), v.minValue(0, milliseconds));

/** Characters of a record's key or version, at most. */
export const longestKey = 1_000;

/**
 * Whether databases keep it as it is: it has no NUL, and no half of a surrogate pair. A look for each of them costs less
 * than one expression for both.
 */
export function isStorable(text: string & { isWellFormed?: () => boolean }): boolean {
  return text.isWellFormed?.() === true && !text.includes("\0");
}

/** What {@link isKey} takes, as a message says it. */
export const keyForm = `1 to ${longestKey} characters, without NUL and halves of surrogate pairs`;

/** Whether it can be a record's key, or an event's id. */
export function isKey(value: unknown): value is string {
  return typeof value === "string" && value !== "" && value.length <= longestKey && isStorable(value);
}

const chosenIdWords = "a string of 1 to 255 characters without spaces around it";

/** Ids that hosts choose themselves: the ids in documents are trimmed, so another one could never be named. */
export const chosenId = v.pipe(
  v.string(chosenIdWords),
  v.minLength(1, chosenIdWords),
  v.maxLength(255, chosenIdWords),
  v.check((value) => value === value.trim() && isStorable(value), chosenIdWords),
);

function listInWords(names: readonly string[], conjunction: "and" | "or"): string {
  return names.join(", ").replace(/, ([^,]*)$/, ` ${conjunction} $1`);
}
