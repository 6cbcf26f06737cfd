import { causeOf } from "../../../model/cause.ts";
import type { Failure } from "../../../model/failure.ts";
import { itemAt } from "../../../model/item-at.ts";
import type { SqlValue } from "../database.ts";
import { failureValues, ownFailureColumns, sharedFailureColumns } from "../rows.ts";

/** A failure, and what was made of it before the transaction. */
export interface FailureToKeep {
  readonly failure: Failure;
  readonly cause: string;
  /** By {@link writtenFailureColumns}. */
  readonly values: readonly SqlValue[];
}

/** What a transaction needs to store a failure. */
export function failureToKeep(failure: Failure): FailureToKeep {
  const { cause } = causeOf(failure);
  return { failure, cause, values: failureValues(failure, cause) };
}

/** Failures one after the other, and the statement that stores all of them that are new; absent: each has its own. */
export interface FailurePortion {
  readonly failures: readonly FailureToKeep[];
  readonly insertion?: readonly [sql: string, values: readonly SqlValue[]];
}

/** With fewer of them, the statements around the one that stores them cost more than it saves. */
const fewestTogether = 4;

/** Failures stored by one statement, and the characters of what it is given, at most. */
const mostTogether = 512;
const longestTogether = 1_000_000;

/** A failure with more characters than this is not worth writing once more as a part of JSON. */
const longestOne = 65_536;

/** Parts of a page's failures, in their order. */
export function failurePortions(failures: readonly FailureToKeep[]): readonly FailurePortion[] {
  if (failures.length < fewestTogether) return failures.length === 0 ? [] : [{ failures }];
  const portions: FailurePortion[] = [];
  let some: FailureToKeep[] = [];
  let left = 0;
  for (const one of failures) {
    const length = lengthOf(one);
    const [first] = some;
    if (first !== undefined && (some.length === mostTogether || length > left || !isAlike(first, one))) {
      portions.push(portionOf(some));
      some = [];
    }
    if (some.length === 0) left = longestTogether;
    left -= length;
    some.push(one);
  }
  portions.push(portionOf(some));
  return portions;
}

const numOwn = ownFailureColumns.length;
const numShared = sharedFailureColumns.length;

function portionOf(failures: readonly FailureToKeep[]): FailurePortion {
  const first = itemAt(failures, 0);
  if (failures.length < fewestTogether || isApart(first)) return { failures };
  const rows = failures.map(({ values }) => values.slice(0, numOwn));
  return {
    failures,
    insertion: [insertTogether, [...first.values.slice(numOwn, numOwn + numShared), JSON.stringify(rows)]],
  };
}

// Whether both can be stored by one statement: they are of one run and import, say.
function isAlike(one: FailureToKeep, other: FailureToKeep): boolean {
  if (isApart(one) || isApart(other)) return isApart(one) && isApart(other);
  for (let index = numOwn; index < numOwn + numShared; index++)
    if (one.values[index] !== other.values[index]) return false;
  return true;
}

// Bytes are no JSON.
function isApart(one: FailureToKeep): boolean {
  return lengthOf(one) > longestOne || one.values.slice(numOwn + numShared).some((bytes) => bytes !== null);
}

function lengthOf({ values }: FailureToKeep): number {
  let length = 0;
  for (const value of values) if (typeof value === "string") length += value.length;
  return length;
}

const insertTogether = `insert into poundlock_failures (${sharedFailureColumns.join(", ")}, ${ownFailureColumns.join(", ")})
  select ${[...sharedFailureColumns.map((name) => `cast(? as ${typeOf(name)})`), ...ownFailureColumns.map(valueOf)].join(", ")}
  from json_each(?) where true on conflict do nothing`;

function valueOf(name: string, index: number): string {
  return typeOf(name) === "text" ? `value ->> ${index}` : `cast(value ->> ${index} as ${typeOf(name)})`;
}

function typeOf(name: string): "bigint" | "text" {
  return name.endsWith("_at") ? "bigint" : "text";
}
