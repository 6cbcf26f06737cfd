import { ContractViolationError, InvalidRequestError } from "../errors.ts";
import type { Export } from "../model/export.ts";
import { formatValue } from "../model/json.ts";
import { messageOf } from "../model/message.ts";
import { storable } from "../model/storable.ts";
import { type RecordProblem, recordProblems } from "../run/source/page-keys.ts";

/** The export that records arrive for. */
export interface ArrivalExport {
  readonly _id: string;
  readonly export: Export<unknown>;
}

type RequestIssue = NonNullable<InvalidRequestError["issues"]>[number];

/** Issues that are listed. */
const most = 100;

/**
 * Records that arrive, as an inbox keeps them: copies, which the export's codec makes if it has one. With `isChecked`
 * each has to fit the export's schema, `key` and `version`, too.
 *
 * @throws `invalid_request` naming every record that is refused, and where; `contract_violation` if the schema is
 * asynchronous, or throws.
 */
export function arrivalOf(records: readonly unknown[], from: ArrivalExport, isChecked: boolean): readonly unknown[] {
  const copies: unknown[] = [];
  const refused = new RefusedRecords(from._id);
  for (let index = 0; index < records.length; index++) {
    const record = records[index];
    const problems = isChecked ? problemsOf(record, from) : [];
    if (problems.length > 0) {
      refused.add(index, record, problems);
      continue;
    }
    const kept = storable(record, from.export.codec);
    if (kept.problem === undefined) copies.push(kept.record);
    else refused.add(index, record, [{ place: kept.place, message: kept.problem }]);
  }
  refused.throwIfAny();
  return copies;
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
