/** Which imports fit which exports, as far as the compiler can see it, and what it says about one that does not. */
import type { Export } from "./export.ts";
import type { FlowInput } from "../flow/flow.ts";
import type { Import } from "./import.ts";

/** Exports by their `_exportId`. */
export type Exports = Readonly<Record<string, Export<unknown, unknown>>>;
/** Imports by their `_importId`. */
export type Imports = Readonly<Record<string, Import<unknown>>>;

/** The records that an export reads. */
export type RecordOf<E> = E extends Export<infer T, unknown> ? T : never;

/** The records of the export with this id; `unknown` if it is known only at run time. */
export type RecordFor<X, E extends string> = ({ readonly [K in keyof X]: RecordOf<X[K]> } & Readonly<
  Record<string, unknown>
>)[E];

/**
 * The records an import takes: those that its `filter` and its `map` are given; without a `map`, those that its
 * `schema` reads, or else its `write` is given.
 */
export type InputOf<I> = ("filter" extends keyof I ? ParameterOf<I["filter"]> : unknown) &
  ("map" extends keyof I
    ? ParameterOf<I["map"]>
    : "schema" extends keyof I
      ? SchemaInput<I["schema"]>
      : I extends { write(records: readonly (infer Out)[], ...rest: never[]): unknown }
        ? Out
        : never);
type ParameterOf<F> = NonNullable<F> extends (record: infer In) => unknown ? In : unknown;

/** What a Standard Schema validator reads; `unknown` if it does not say. */
export type SchemaInput<S> = S extends {
  readonly "~standard": { readonly types?: { readonly input: infer In } | undefined };
}
  ? In
  : unknown;

/** An export's id: one of those known at compile time, or any `string` that is known only at run time. */
export type ExportIdFor<X, E extends string> = string extends E ? E : keyof X & string;

/**
 * An import's id: one of those that take what the export reads, or any `string` that is known only at run time. In the
 * place of an id whose import does not fit stands the reason, so that the compiler reports it.
 */
export type ImportIdFor<X, M, E extends string, I extends string> = string extends I
  ? I
  : [E] extends [keyof X & string]
    ? [Extract<I, MisfitIds<X, M, E>>] extends [never]
      ? // In full here: the compiler names an alias in its messages, and these ids where there is none.
        keyof { [K in keyof M as [RecordOf<X[E]>] extends [InputOf<M[K]>] ? K : never]: K } & string
      : Exclude<I, MisfitIds<X, M, E>> | Misfit<X, M, E, Extract<I, MisfitIds<X, M, E>>>
    : keyof M & string;

/**
 * What `defineAll` takes: flows by their ids, each checked for itself. `E` and `I` have the ids of its export and its
 * imports; in two parts, so that the compiler infers both.
 */
export type FlowInputsFor<X, M, E, I> = {
  readonly [K in keyof E]: FlowInput<ExportIdFor<X, E[K] & string>>;
} & {
  readonly [K in keyof I]: FlowInput<string, ImportIdFor<X, M, E[K & keyof E] & string, I[K] & string>>;
};

type MisfitIds<X, M, E extends keyof X> = keyof {
  [K in keyof M as [RecordOf<X[E]>] extends [InputOf<M[K]>] ? never : K]: K;
} &
  string;

type Misfit<X, M, E extends keyof X & string, I extends string> = I extends keyof M
  ? [Lacking<RecordOf<X[E]>, InputOf<M[I]>>] extends [never]
    ? [Differing<RecordOf<X[E]>, InputOf<M[I]>>] extends [never]
      ? `the records of export "${E}" are not what import "${I}" takes`
      : `the records of export "${E}" have another "${Differing<RecordOf<X[E]>, InputOf<M[I]>>}" than import "${I}" takes`
    : `the records of export "${E}" lack "${Lacking<RecordOf<X[E]>, InputOf<M[I]>>}", which import "${I}" takes`
  : never;

/** Fields that the import needs and the records have not. */
type Lacking<T, In> = BothObjects<T, In> extends true ? Exclude<RequiredKeys<In>, keyof T> & string : never;
/** Fields that both have, of types that do not fit. */
type Differing<T, In> =
  BothObjects<T, In> extends true
    ? { [K in keyof T & keyof In]-?: [T[K]] extends [In[K]] ? never : K }[keyof T & keyof In] & string
    : never;
type RequiredKeys<T> = { [K in keyof T]-?: object extends Pick<T, K> ? never : K }[keyof T];
type BothObjects<T, In> = [T, In] extends [object, object]
  ? Extract<T | In, readonly unknown[]> extends never
    ? true
    : false
  : false;
