import { NotFoundError } from "../../errors.ts";
import type { AcceptOptions } from "../../model/export.ts";
import { v } from "../../model/validate.ts";
import { readShape } from "../body.ts";
import { acceptedDocument, exportDocument, importDocument } from "../documents.ts";
import { listAnswer, listed } from "../list.ts";
import { exportsQuery, importsQuery } from "../query.ts";
import { badRequest } from "../http-error.ts";
import { type Reply, json } from "../reply.ts";
import { type Call, type Route, route } from "./route.ts";

const record = v.record(v.string(), v.unknown());
const envelope = v.strictObject({
  records: v.pipe(v.array(v.unknown()), v.description("The records.")),
  ids: v.optional(
    v.pipe(
      v.array(v.string("a text"), "an array of texts"),
      v.description("One event id for each record, in the same order: seen again within the window, it is dropped."),
    ),
  ),
});

/** The two ends of flows: which there are, and records that are handed to one of them. */
export const endRoutes: readonly Route[] = [
  route({
    method: "GET",
    path: "/exports",
    action: "exports.list",
    operationId: "listExports",
    summary: "List the exports that flows can name.",
    query: exportsQuery,
    answers: { 200: listAnswer("The exports.", exportDocument) },
    async answer(call) {
      const { registry } = call.parts;
      const _ids = registry.exportIds.filter((_id) => isAllowed(call.scope?._exportIds, _id));
      return listed(call, { items: _ids.map((_id) => exportOf(call, _id)) }, call.query);
    },
  }),
  route({
    method: "GET",
    path: "/imports",
    action: "imports.list",
    operationId: "listImports",
    summary: "List the imports that flows can name.",
    query: importsQuery,
    answers: { 200: listAnswer("The imports.", importDocument) },
    async answer(call) {
      const { registry } = call.parts;
      const _ids = registry.importIds.filter((_id) => isAllowed(call.scope?._importIds, _id));
      return listed(call, { items: _ids.map((_id) => importOf(call, _id)) }, call.query);
    },
  }),
  route({
    method: "POST",
    path: "/exports/{_id}/records",
    action: "records.accept",
    operationId: "acceptRecords",
    summary: "Take records in as they arrive, for every enabled flow that uses the export.",
    headers: {
      "idempotency-key":
        "The event id of the record, or, with `.0`, `.1` and so on after it, of each of several. Not together with `ids`.",
    },
    body: {
      required: true,
      content: { "application/json": v.union([envelope, v.array(v.unknown()), record]) },
      checked: false,
    },
    answers: {
      202: {
        description: "The records are in the inbox of each flow, as durably as the storage keeps them.",
        content: { "application/json": acceptedDocument },
      },
    },
    refusals: [409, 429],
    answer: accept,
  }),
];

function isAllowed(allowed: readonly string[] | undefined, _id: string): boolean {
  return allowed === undefined || allowed.includes(_id);
}

function exportOf({ parts }: Call, _id: string): object {
  const from = parts.registry.findExport(_id);
  const { order = "unordered", pageSize = 100, checkpointVersion = 1 } = from ?? {};
  const kinds = { onDemand: from?.pages !== undefined, realTime: from?.listen !== undefined };
  return { _id, ...kinds, order, pageSize, checkpointVersion };
}

function importOf({ parts }: Call, _id: string): object {
  const { idempotent, batchSize, concurrency = 1 } = parts.registry.findImport(_id) ?? { idempotent: false };
  return { _id, idempotent, ...(batchSize === undefined ? {} : { batchSize }), concurrency };
}

async function accept({ parts, scope, _id, request, body }: Call): Promise<Reply> {
  if (!isAllowed(scope?._exportIds, _id)) throw new NotFoundError("export", _id);
  const { records, ids } = readRecords(body.value);
  const key = request.headers.get("idempotency-key");
  const options: AcceptOptions = {
    ...idsOf(records.length, ids, key),
    ...(scope === undefined ? {} : { _integrationId: scope._integrationId }),
  };
  return json(202, await parts.scheduler.accept(_id, records, options));
}

/** An array is the records; an object of nothing but `records`, an array, and perhaps `ids` is what it says; any other is one record. */
function readRecords(value: unknown): {
  readonly records: readonly unknown[];
  readonly ids?: readonly string[] | undefined;
} {
  if (Array.isArray(value)) return { records: value as unknown[] };
  if (typeof value !== "object" || value === null)
    throw badRequest("", "The body: expected a record, or an array of records");
  const only = Object.keys(value).every((name) => name === "records" || name === "ids");
  if (!only || !("records" in value) || !Array.isArray(value.records)) return { records: [value] };
  return readShape(value, envelope) as v.InferOutput<typeof envelope>;
}

function idsOf(count: number, ids: readonly string[] | undefined, key: string | null): AcceptOptions {
  if (ids !== undefined && key !== null)
    throw badRequest("idempotency-key", "idempotency-key: expected either it or ids, found both");
  if (ids !== undefined) return { ids };
  if (key === null) return {};
  if (key.trim() === "") throw badRequest("idempotency-key", "idempotency-key: expected a text that is not empty");
  return { ids: count === 1 ? [key] : Array.from({ length: count }, (_, index) => `${key}.${index}`) };
}
