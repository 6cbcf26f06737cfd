import type { Export } from "./export.ts";
import type { Import, ImportMembers, StandardSchemaV1 } from "./import.ts";
import type { SchemaInput } from "./fitting.ts";
import type { Json } from "../record/json.ts";

/**
 * An export whose record type is inferred from what `pages` yields, or from the type of `key`'s parameter. Write `pages`
 * before the other functions, since types are inferred from top to bottom, and give the type of its checkpoint with its
 * parameter: `async *pages({ checkpoint }: ExportContext<{ after: number }>)`. Returns what it is given.
 */
export function defineExport<T, C = Json>(from: Export<T, C>): Export<T, C> {
  return from;
}

/**
 * An import whose record types are inferred: what it takes from the parameter of `map` or `filter`, else from its
 * `schema`, else from that of `write`; and what is written from what `map` returns. Write `map` before `write`, since
 * types are inferred from top to bottom. Returns what it is given.
 */
export function defineImport<In, Out, R = unknown>(
  into: ImportMembers<In, Out, R> & { map(record: In): Out },
): Import<In, Out, R>;
export function defineImport<S extends StandardSchemaV1, R = unknown>(
  into: ImportMembers<SchemaInput<S>, SchemaOutput<S>, R> & { readonly schema: S; readonly map?: never },
): Import<SchemaInput<S>, SchemaOutput<S>, R>;
export function defineImport<T, R = unknown>(into: ImportMembers<T, T, R>): Import<T, T, R>;
export function defineImport(into: ImportMembers<unknown>): ImportMembers<unknown> {
  return into;
}

type SchemaOutput<S> = S extends StandardSchemaV1<infer Out> ? Out : never;
