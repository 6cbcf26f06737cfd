import { formatValue } from "../../model/record/json.ts";
import { type Problem, HttpError } from "../http-error.ts";

/** Most steps that are looked at: a flow has at most 50 imports. */
const maxSteps = 50;

/**
 * The body of a flow, with `pageGenerators` and `pageProcessors` translated to `_exportId` and `_importIds`: current
 * clients of the API that this one follows write them. Members that have no meaning here are refused, not ignored.
 *
 * @throws HttpError 422 with every problem of the two fields.
 */
export function fromSteps(body: unknown): unknown {
  if (typeof body !== "object" || body === null || Array.isArray(body)) return body;
  if (!("pageGenerators" in body) && !("pageProcessors" in body)) return body;
  const { pageGenerators, pageProcessors, ...fields } = body as Record<string, unknown>;
  const problems: Problem[] = [];
  const exports = pageGenerators == null ? undefined : idsOf("pageGenerators", pageGenerators, problems);
  const imports = pageProcessors == null ? undefined : idsOf("pageProcessors", pageProcessors, problems);
  if (exports !== undefined && exports.length !== 1)
    add(problems, "pageGenerators", `expected one, as a flow has one export, found ${exports.length}`);
  if (imports?.length === 0) add(problems, "pageProcessors", "expected at least one, found none");
  contradiction("_exportId", exports?.[0], fields._exportId, problems);
  contradiction("_importId", imports?.[0], fields._importId, problems);
  if (imports !== undefined && fields._importIds != null)
    add(problems, "_importIds", "expected either it or pageProcessors, found both");
  if (problems.length > 0) throw new HttpError(422, problems);
  return {
    ...fields,
    ...(exports === undefined ? {} : { _exportId: exports[0] }),
    ...(imports === undefined ? {} : { _importIds: imports }),
  };
}

/** Members of a step that change nothing here, whatever their value. */
const ignored = ["_id", "type"];

function idsOf(list: "pageGenerators" | "pageProcessors", given: unknown, problems: Problem[]): unknown[] | undefined {
  if (!Array.isArray(given) || given.length > maxSteps) {
    add(problems, list, `expected an array of 1 to ${maxSteps}, found ${formatValue(given)}`);
    return undefined;
  }
  return given.map((step: unknown, index) =>
    idOf(list, step, { at: `${list}.${index}`, count: given.length }, problems),
  );
}

function idOf(
  list: "pageGenerators" | "pageProcessors",
  step: unknown,
  { at, count }: { readonly at: string; readonly count: number },
  problems: Problem[],
): unknown {
  const idField = list === "pageGenerators" ? "_exportId" : "_importId";
  if (typeof step !== "object" || step === null || Array.isArray(step)) {
    add(problems, at, `expected an object with ${idField}, found ${formatValue(step)}`);
    return undefined;
  }
  const { type } = step as { readonly type?: unknown };
  const expectedType = list === "pageGenerators" ? "export" : "import";
  if (type !== undefined && type !== expectedType)
    add(
      problems,
      `${at}.type`,
      `expected "${expectedType}", as lookups are not steps of a flow here, found ${formatValue(type)}`,
    );
  for (const [member, value] of Object.entries(step))
    if (member !== idField && !ignored.includes(member) && !isNeutral(member, value, count))
      add(problems, `${at}.${member}`, `expected nothing, as it has no meaning here, found ${formatValue(value)}`);
  const id = (step as Record<string, unknown>)[idField];
  if (typeof id !== "string") add(problems, `${at}.${idField}`, `expected an id, found ${formatValue(id)}`);
  return id;
}

/** True for a member whose value says what happens here anyway. */
function isNeutral(member: string, value: unknown, count: number): boolean {
  // Imports are independent of each other: a record that one of them rejects is still sent to the others.
  if (member === "proceedOnFailure") return value === true || count === 1;
  return isEmpty(value, 3);
}

function isEmpty(value: unknown, depth: number): boolean {
  if (value == null || value === false || value === "") return true;
  if (typeof value !== "object" || depth === 0) return false;
  return Object.values(value).every((member) => isEmpty(member, depth - 1));
}

function contradiction(field: string, given: unknown, other: unknown, problems: Problem[]): void {
  if (given === undefined || other == null || trimmed(given) === trimmed(other)) return;
  const list = field === "_exportId" ? "pageGenerators" : "pageProcessors";
  add(problems, field, `expected the first of ${list}, ${formatValue(given)}, found ${formatValue(other)}`);
}

function trimmed(value: unknown): unknown {
  return typeof value === "string" ? value.trim() : value;
}

function add(problems: Problem[], field: string, message: string): void {
  problems.push({ code: "invalid_field", field, message: `${field}: ${message}` });
}
