import { ContractViolationError, InvalidRequestError } from "../../errors.ts";
import type { Export } from "../../model/host/export.ts";
import type { Failure } from "../../model/failure.ts";
import { type Flow, importIdsOf } from "../../model/flow/flow.ts";
import { formatValue, omitUndefined } from "../../model/record/json.ts";
import { longestMessage, messageOf, storableText } from "../../model/message.ts";
import { storable } from "../../model/record/storable.ts";
import { type RecordProblem, pageKeys, recordProblems } from "../../run/source/page-keys.ts";

/** The export that records arrive for. */
export interface ArrivalExport {
  readonly _id: string;
  readonly export: Export<unknown>;
}

type RequestIssue = NonNullable<InvalidRequestError["issues"]>[number];

/** Issues that are listed. */
const most = 100;

/** Records that arrived, as an inbox keeps them. */
export interface ArrivalPage {
  readonly copies: readonly unknown[];
  /** Places of the records that are kept. */
  readonly kept: readonly number[];
  /** Those that cannot be kept. */
  readonly unstorable: readonly UnstorableRecord[];
}

/** A record that cannot be kept. */
export interface UnstorableRecord {
  readonly index: number;
  /** What the export's `key` makes of it; undefined if it makes none. */
  readonly key: string | undefined;
  readonly problem: string;
}

/**
 * Records that `listen` hands over: copies of those that can be kept. Nothing is refused, since it would be delivered
 * again for ever; what is invalid becomes a failure when a run reads it.
 */
export function sortArrival(records: readonly unknown[], source: Export<unknown>): ArrivalPage {
  const copies: unknown[] = [];
  const kept: number[] = [];
  const unstorable: UnstorableRecord[] = [];
  for (let index = 0; index < records.length; index++) {
    const result = storable(records[index], source.codec);
    if (result.problem === undefined) {
      copies.push(result.record);
      kept.push(index);
    } else unstorable.push({ index, key: ownKey(records[index], source), problem: result.problem });
  }
  return { copies, kept, unstorable };
}

function ownKey(record: unknown, source: Export<unknown>): string | undefined {
  if (source.key === undefined) return undefined;
  const from = { key: (each: unknown) => source.key?.(each) ?? "" };
  const made = pageKeys([record], from, { defaultKeyOf: () => "", name: "" }).keyOf(0);
  return made === "" ? undefined : made;
}

/** The failures of records that could not be kept: one for each import of each flow, without a run. */
export function failuresOf(
  unstorable: readonly UnstorableRecord[],
  flows: readonly Flow[],
  { at, defaultKeyOf, newId }: { at: string; defaultKeyOf: (index: number) => string; newId: () => string },
): readonly Failure[] {
  return flows.flatMap(({ _connectorId, _exportId, _id: _flowId, _integrationId, ...flow }) =>
    importIdsOf(flow).flatMap((_importId) =>
      unstorable.map(({ index, key = defaultKeyOf(index), problem }): Failure => ({
        ...{ _id: newId(), _flowId, _exportId, _importId, _runId: "", key, record: undefined, unstorable: true },
        ...omitUndefined({ _integrationId, _connectorId }),
        ...{ fault: "reject", message: storableText(`its record cannot be kept: ${problem}`, longestMessage) },
        ...{ attempts: 0, occurrences: 1, status: "open", createdAt: at, lastFailedAt: at },
      })),
    ),
  );
}

/**
 * Records that arrive, as an inbox keeps them: copies, which the export's codec makes if it has one. Each has to fit the
 * export's schema, `key` and `version`.
 *
 * @throws `invalid_request` naming every record that is refused, and where; `contract_violation` if the schema is
 * asynchronous, or throws.
 */
export function arrivalOf(records: readonly unknown[], from: ArrivalExport): ArrivalPage {
  const copies: unknown[] = [];
  const refused = new RefusedRecords(from._id);
  for (let index = 0; index < records.length; index++) {
    const record = records[index];
    const problems = problemsOf(record, from);
    if (problems.length > 0) {
      refused.add(index, record, problems);
      continue;
    }
    const kept = storable(record, from.export.codec);
    if (kept.problem === undefined) copies.push(kept.record);
    else refused.add(index, record, [{ place: kept.place, message: kept.problem }]);
  }
  refused.throwIfAny();
  return { copies, kept: copies.map((_, index) => index), unstorable: [] };
}

function problemsOf(record: unknown, { _id, export: source }: ArrivalExport): readonly RecordProblem[] {
  try {
    return recordProblems(record, source);
  } catch (error) {
    throw new ContractViolationError("Export", _id, `its schema does not check records: ${messageOf(error)}`, error);
  }
}

/** Records that are refused: the first 100 problems are kept, the others counted. */
class RefusedRecords {
  readonly #expected: string;
  readonly #issues: RequestIssue[] = [];
  #first: { readonly field: string; readonly message: string; readonly record: unknown } | undefined;
  #count = 0;

  constructor(_exportId: string) {
    this.#expected = `a record that export ${formatValue(_exportId)} accepts`;
  }

  add(index: number, record: unknown, problems: readonly RecordProblem[]): void {
    this.#count += problems.length;
    for (const { place, message } of problems.slice(0, most - this.#issues.length)) {
      const field = shortened(`records.${index}${place === "" ? "" : `.${place}`}`, 300);
      const why = shortened(message, 1_000);
      this.#first ??= { field, message: why, record };
      this.#issues.push({ code: "invalid_request", field, message: `${field}: expected ${this.#expected} (${why})` });
    }
  }

  throwIfAny(): void {
    if (this.#first === undefined) return;
    const { field, message, record } = this.#first;
    throw new InvalidRequestError(field, `${this.#expected} (${message})`, record, {
      hint: this.#count === 1 ? "" : `; and ${this.#count - 1} more`,
      issues: this.#listed,
    });
  }

  get #listed(): readonly RequestIssue[] {
    if (this.#count <= most) return this.#issues;
    const rest = `and ${this.#count - (most - 1)} more`;
    return [...this.#issues.slice(0, most - 1), { code: "invalid_request", field: "records", message: rest }];
  }
}

function shortened(text: string, longest: number): string {
  return text.length > longest ? `${text.slice(0, longest - 1)}…` : text;
}
