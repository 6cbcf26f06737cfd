import { NotFoundError, isPoundlockError } from "../../errors.ts";
import type { AcceptOptions } from "../../model/host/export.ts";
import { formatValue } from "../../model/record/json.ts";
import { v } from "../../model/validate.ts";
import { acceptedDocument, described, exportDocument, importDocument } from "../documents.ts";
import { HttpError, badRequest, httpErrorOf } from "../http-error.ts";
import { filtersOf, linkHeader, listReply, listResponse, pageOf } from "../lists/list.ts";
import { exportsQuery, importsQuery } from "../lists/query.ts";
import { type Reply, json } from "../reply.ts";
import { type Arrival, type Call, type Route, route } from "./route.ts";

const record = v.record(v.string(), v.unknown());
/** Records with their event ids. */
export const envelope = v.strictObject({
  records: described(v.array(v.unknown()), "The records."),
  ids: v.optional(
    described(
      v.array(v.string("a string"), "an array of strings"),
      "One event id for each record, in the same order. A record whose id was seen before is dropped.",
    ),
  ),
});

/** Exports and imports: which there are, and records that are sent to an export. */
export const catalogRoutes: readonly Route[] = [
  route({
    method: "GET",
    path: "/exports",
    action: "exports.list",
    operationId: "listExports",
    summary: "List the exports that flows can use.",
    description: "The exports that the application has registered and the caller may use, with what they can do.",
    query: exportsQuery,
    responses: { 200: listResponse("The exports.", exportDocument, linkHeader) },
    async respond(call) {
      const _ids = allowedOf(call.deps.registry.exportIds, call.scope?._exportIds);
      const { items, ...page } = pageOf(_ids, String, filtersOf(call, call.query));
      return listReply(call, { items: items.map((_id) => exportOf(call, _id)), ...page }, call.query);
    },
  }),
  route({
    method: "GET",
    path: "/exports/{_id}",
    action: "exports.read",
    operationId: "getExport",
    summary: "Read an export.",
    description: "What the export can do: be read on demand, receive events, or both.",
    responses: { 200: { description: "The export.", content: { "application/json": exportDocument } } },
    async respond(call) {
      const known = allowedOf(call.deps.registry.exportIds, call.scope?._exportIds);
      if (!known.includes(call._id)) throw new NotFoundError("export", call._id);
      return json(200, exportOf(call, call._id));
    },
  }),
  route({
    method: "GET",
    path: "/imports",
    action: "imports.list",
    operationId: "listImports",
    summary: "List the imports that flows can use.",
    description:
      "The imports that the application has registered and the caller may use, with how they are written to.",
    query: importsQuery,
    responses: { 200: listResponse("The imports.", importDocument, linkHeader) },
    async respond(call) {
      const _ids = allowedOf(call.deps.registry.importIds, call.scope?._importIds);
      const { items, ...page } = pageOf(_ids, String, filtersOf(call, call.query));
      return listReply(call, { items: items.map((_id) => importOf(call, _id)), ...page }, call.query);
    },
  }),
  route({
    method: "GET",
    path: "/imports/{_id}",
    action: "imports.read",
    operationId: "getImport",
    summary: "Read an import.",
    description: "How the import is written to.",
    responses: { 200: { description: "The import.", content: { "application/json": importDocument } } },
    async respond(call) {
      const known = allowedOf(call.deps.registry.importIds, call.scope?._importIds);
      if (!known.includes(call._id)) throw new NotFoundError("import", call._id);
      return json(200, importOf(call, call._id));
    },
  }),
  route({
    method: "POST",
    path: "/exports/{_id}/records",
    action: "records.accept",
    operationId: "acceptRecords",
    summary: "Send records to an export, for every enabled flow that uses it.",
    description:
      "For senders of events. The body is one record, an array of records, or an object with `records` and their `ids`. Any status but 202 means that nothing was stored: send the same again. Records whose event id was seen before are stored once.",
    headers: {
      "idempotency-key":
        "Event id of the record; with several records `.0`, `.1` and so on are appended to it. Not together with `ids`.",
    },
    body: {
      required: true,
      content: { "application/json": v.union([envelope, v.array(v.unknown()), record]) },
      checked: false,
      acceptsCompressed: true,
    },
    responses: {
      200: {
        description: "The response to a challenge of the sender of a webhook.",
        content: { "text/plain": v.string(), "application/json": v.record(v.string(), v.unknown()) },
      },
      202: {
        description: "The records are stored in the inbox of each flow, as durably as the storage keeps them.",
        content: { "application/json": acceptedDocument },
      },
    },
    errors: [409, 422, 429],
    respond: accept,
  }),
];

function allowedOf(_ids: readonly string[], allowed: readonly string[] | undefined): readonly string[] {
  if (allowed === undefined) return _ids;
  const set = new Set(allowed);
  return _ids.filter((_id) => set.has(_id));
}

function exportOf({ deps }: Call, _id: string): object {
  const source = deps.registry.findExport(_id);
  const { order = "unordered", pageSize = 100, checkpointVersion = 1 } = source ?? {};
  const kinds = { onDemand: source?.pages !== undefined, realTime: source?.listen !== undefined };
  return { _id, ...kinds, order, pageSize, checkpointVersion };
}

function importOf({ deps }: Call, _id: string): object {
  const { idempotent, batchSize, concurrency = 1 } = deps.registry.findImport(_id) ?? { idempotent: false };
  return { _id, idempotent, ...(batchSize === undefined ? {} : { batchSize }), concurrency };
}

async function accept({ deps, scope, _id, request, body, arrival }: Call): Promise<Reply> {
  if (scope?._exportIds?.includes(_id) === false) throw new NotFoundError("export", _id);
  const { records, ids } = arrival ?? readRecords(body.value);
  // A webhook may carry nothing that matters: its sender did nothing wrong.
  if (arrival !== undefined && records.length === 0) return json(202, { accepted: 0, duplicates: 0 });
  const key = arrival?.ids === undefined ? request.headers.get("idempotency-key") : null;
  const options: AcceptOptions = {
    ...idsOf(records.length, ids, key),
    ...(scope === undefined ? {} : { _integrationId: scope._integrationId }),
  };
  try {
    return json(202, await deps.scheduler.accept(_id, records, options));
  } catch (error) {
    throw refusedRecords(error) ?? error;
  }
}

/** 422 for records that the export does not accept: the request is otherwise right. */
function refusedRecords(error: unknown): HttpError | undefined {
  const known =
    isPoundlockError(error) && "issues" in error && error.issues !== undefined ? httpErrorOf(error) : undefined;
  return known?.error.status === 400 ? new HttpError(422, known.error.problems) : undefined;
}

/**
 * An array is the records. An object with `records`, an array, and at most `ids` beside it is an envelope; any other
 * object is one record.
 */
function readRecords(value: unknown): Arrival {
  if (Array.isArray(value)) return { records: value as unknown[] };
  if (typeof value !== "object" || value === null)
    throw badRequest("", "The body: expected a record, or an array of records");
  const only = Object.keys(value).every((name) => name === "records" || name === "ids");
  if (!only || !("records" in value) || !Array.isArray(value.records)) return { records: [value] };
  const { ids } = value as { readonly ids?: unknown };
  if (ids === undefined) return { records: value.records as unknown[] };
  // By hand, as there may be millions of them: the first that is wrong is enough.
  if (!Array.isArray(ids)) throw badRequest("ids", `ids: expected an array of strings, found ${formatValue(ids)}`);
  const wrong = ids.findIndex((id) => typeof id !== "string");
  if (wrong !== -1)
    throw badRequest(`ids.${wrong}`, `ids.${wrong}: expected a string, found ${formatValue(ids[wrong])}`);
  return { records: value.records as unknown[], ids: ids as string[] };
}

function idsOf(count: number, ids: readonly string[] | undefined, key: string | null): AcceptOptions {
  if (ids !== undefined && key !== null)
    throw badRequest("idempotency-key", "idempotency-key: expected either the header or ids, found both");
  if (ids !== undefined) return { ids };
  if (key === null) return {};
  if (key.trim() === "") throw badRequest("idempotency-key", "idempotency-key: expected a string that is not empty");
  return { ids: count === 1 ? [key] : Array.from({ length: count }, (_, index) => `${key}.${index}`) };
}
