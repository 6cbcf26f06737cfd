import { formatValue } from "../record/json.ts";
import { didYouMean } from "../suggest.ts";

/** One reason why a flow is refused. */
export interface FlowIssue {
  /** `invalid_ref`: no export, import or flow is known under that id, or flows would run each other for ever. */
  readonly code: "missing_required_field" | "invalid_field" | "invalid_ref" | "unknown_field";
  /** The field at fault, such as `schedule` or `_importIds.2`; after `defineAll` with the flow's id before it. */
  readonly field: string;
  /** What was expected and what was found, in words. */
  readonly message: string;
}

/** How many issues a report has at most. */
const most = 100;

/**
 * Collects what is wrong with a flow. The first 100 issues are kept and the others counted, and nothing is made of what
 * is only counted, so that a report stays small and cheap however large the input is.
 */
export class FlowIssues {
  readonly #kept: FlowIssue[] = [];
  readonly #fields = new Set<string>();
  #count = 0;
  readonly #prefix: string;

  /** `prefix` stands before every field. @default none */
  constructor(prefix = "") {
    this.#prefix = prefix;
  }

  /** How many there are, those that are only counted included. */
  get count(): number {
    return this.#count;
  }

  /** At most 100; if there are more, the last of them says how many. */
  get all(): readonly FlowIssue[] {
    const rest = this.#count - (most - 1);
    if (this.#count <= most) return [...this.#kept];
    return [...this.#kept.slice(0, most - 1), { code: "invalid_field", field: "", message: `and ${rest} more` }];
  }

  /** `problem` follows the name of the field in the message, and is asked for only if the issue is kept. */
  add(code: FlowIssue["code"], field: string, problem: () => string): void {
    this.#count++;
    if (this.#count > most) return;
    const name = short(field === "" ? this.#prefix.slice(0, -1) : this.#prefix + field);
    this.#fields.add(field);
    this.#kept.push({ code, field: name, message: name === "" ? problem() : `${name}: ${problem()}` });
  }

  /** Adds those of another collection. */
  addAll(others: FlowIssues): void {
    this.#kept.push(...others.#kept.slice(0, Math.max(0, most - this.#kept.length)));
    this.#count += others.#count;
  }

  /** True if an issue of this field was kept. */
  has(field: string): boolean {
    return this.#fields.has(field);
  }
}

/** Adds an issue for an id that nothing is known under; what it may have meant is looked for among `known`. */
export function addUnknownId(
  issues: FlowIssues,
  place: { readonly field: string; readonly kind: "export" | "import" | "flow"; readonly _id: string },
  known: Iterable<string> = [],
): void {
  const { field, kind, _id } = place;
  const what = kind === "flow" ? "there is no flow" : `no ${kind}`;
  const end = kind === "flow" ? "" : " is registered";
  issues.add("invalid_ref", field, () => `${what} ${formatValue(_id)}${end}${didYouMean(_id, known)}`);
}

/** What a flow refers to, as its input says it. */
export interface FlowRefs {
  readonly _exportId?: unknown;
  readonly _importId?: unknown;
  readonly _importIds?: unknown;
}

/** The ids that a flow may refer to. Absent: any. */
export interface KnownIds {
  readonly exports?: Ids | undefined;
  readonly imports?: Ids | undefined;
}

type Ids = ReadonlySet<string> | ReadonlyMap<string, unknown>;

/** Adds an issue for each export and import that is not known. What is no id is left to the check of its shape. */
export function addUnknownRefs(issues: FlowIssues, refs: FlowRefs, known: KnownIds): void {
  const { _exportId, _importId, _importIds } = refs;
  addUnlessKnown("_exportId", "export", _exportId, known.exports);
  addUnlessKnown("_importId", "import", _importId, known.imports);
  // More are refused as a whole.
  const several: readonly unknown[] = Array.isArray(_importIds) && _importIds.length <= 50 ? _importIds : [];
  for (const [index, _id] of several.entries()) addUnlessKnown(`_importIds.${index}`, "import", _id, known.imports);

  function addUnlessKnown(field: string, kind: "export" | "import", given: unknown, ids?: Ids): void {
    const _id = typeof given === "string" ? given.trim() : "";
    if (ids !== undefined && _id !== "" && !ids.has(_id)) addUnknownId(issues, { field, kind, _id }, ids.keys());
  }
}

/** A name as it may stand in a message: the first 80 characters of it. */
function short(name: string): string {
  return name.length > 80 ? `${name.slice(0, 80)}…` : name;
}
