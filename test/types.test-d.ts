import {
  type AcceptResult,
  type Export,
  type ExportContext,
  type Flow,
  type FlowInput,
  FlowRegistry,
  type Import,
  type ImportMembers,
  type ListenContext,
  type Logger,
  type Page,
  type PoundlockError,
  type RegistryEvents,
  type Run,
  Scheduler,
  type SchedulerEvents,
  type SchedulerOptions,
  type StandardSchemaV1,
  defineExport,
  defineImport,
  isPoundlockError,
} from "poundlock";
import { type Alert, type AlertCheckpoint, alerts } from "poundlock/alerts";
import type { ImportIdFor, InputOf, RecordOf } from "../src/model/host/fitting.ts";
import type { Storage } from "poundlock/storage";
import * as v from "valibot";
import { describe, expectTypeOf, test } from "vitest";

interface Order {
  readonly id: string;
  readonly number: number;
  readonly email: string;
  readonly paid: boolean;
}
interface Person {
  readonly name: string;
}

declare const orders: Export<Order, { after: number }>;
declare const people: Export<Person>;
declare const either: Export<Order | Person>;

declare const ledger: Import<Order>;
declare const mailer: Import<Pick<Order, "email" | "id">>;
declare const greeter: Import<Person>;
declare const rows: Import<Order, readonly string[]>;

/** How a host writes records of a type. */
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- it is what the caller chooses
declare const writing: <T>() => (records: readonly T[]) => Promise<void>;

/** Imports as hosts write them, with `satisfies` or without. */
const inline = {
  idempotent: true,
  async write(records) {
    expectTypeOf(records).toEqualTypeOf<readonly Order[]>();
  },
} satisfies Import<Order>;
const mapped = {
  idempotent: true,
  map: (order: Order) => order.id,
  write: writing<string>(),
} satisfies Import<Order, string>;
const filtered = {
  idempotent: true,
  filter: (order: Pick<Order, "paid">) => order.paid,
  write: writing<Pick<Order, "paid" | "id">>(),
};
const filterOnly = { idempotent: true, filter: (order: Order) => order.paid, write: writing<unknown>() };
const mapOnly = { idempotent: true, map: (order: Order) => order.id, write: writing<unknown>() };
const both = {
  idempotent: true,
  filter: (order: Pick<Order, "paid">) => order.paid,
  map: (order: Pick<Order, "email">) => order.email,
  write: writing<string>(),
};
const checked = {
  idempotent: true,
  schema: v.pipe(v.object({ number: v.number() }), v.transform(String)),
  write: writing<string>(),
} satisfies Import<unknown, string>;
const anything = { idempotent: true, write: writing<unknown>() } satisfies Import<unknown>;

const exports = { orders, people, either };
const imports = {
  ledger,
  mailer,
  greeter,
  rows,
  inline,
  mapped,
  filtered,
  filterOnly,
  mapOnly,
  both,
  checked,
  anything,
};
const registry = new FlowRegistry({ exports, imports });
const scheduler = new Scheduler(registry);
declare const known: string;

/** What an input to create may have as its `_importId`. */
type Fitting<E extends string> = Exclude<Parameters<typeof registry.create<E, "">>[0]["_importId"], null | undefined>;

describe("the imports that fit an export", () => {
  test("take all that it gives", () => {
    expectTypeOf<Fitting<"orders">>().toEqualTypeOf<Exclude<keyof typeof imports, "greeter">>();
    expectTypeOf<Fitting<"people">>().toEqualTypeOf<"greeter" | "anything">();
    expectTypeOf<Fitting<"either">>().toEqualTypeOf<"anything">();
    expectTypeOf<Fitting<"orders" | "people">>().toEqualTypeOf<"anything">();
  });

  test("are judged by what filter and map are given, else the schema, else write", () => {
    expectTypeOf<InputOf<typeof ledger>>().toEqualTypeOf<Order>();
    expectTypeOf<InputOf<typeof rows>>().toEqualTypeOf<Order>();
    expectTypeOf<InputOf<typeof inline>>().toEqualTypeOf<Order>();
    expectTypeOf<InputOf<typeof mapped>>().toEqualTypeOf<Order>();
    expectTypeOf<InputOf<typeof mapOnly>>().toEqualTypeOf<Order>();
    expectTypeOf<InputOf<typeof filterOnly>>().toEqualTypeOf<Order>();
    expectTypeOf<InputOf<typeof filtered>>().toExtend<Pick<Order, "paid" | "id">>();
    expectTypeOf<InputOf<typeof both>>().toExtend<Pick<Order, "paid" | "email">>();
    expectTypeOf<InputOf<typeof checked>>().toEqualTypeOf<{ number: number }>();
    expectTypeOf<InputOf<typeof anything>>().toEqualTypeOf<unknown>();
    expectTypeOf<
      InputOf<{ write(records: readonly Order[]): void; schema: StandardSchemaV1<Order> }>
    >().toEqualTypeOf<unknown>();
  });
});

describe("the reason why an import does not fit", () => {
  type ReasonFor<E extends string, I extends string> = ImportIdFor<typeof exports, typeof imports, E, I>;

  test("names each field that the records lack", () => {
    expectTypeOf<ReasonFor<"people", "mailer">>().toEqualTypeOf<
      | `the records of export "people" lack "email", which import "mailer" takes`
      | `the records of export "people" lack "id", which import "mailer" takes`
    >();
    expectTypeOf<
      ReasonFor<"either", "greeter">
    >().toEqualTypeOf<`the records of export "either" lack "name", which import "greeter" takes`>();
  });

  test("names each field of another type, if none is missing", () => {
    type NumberId = ImportIdFor<{ orders: Export<Order> }, { numbered: Import<{ id: number }> }, "orders", "numbered">;

    expectTypeOf<NumberId>().toEqualTypeOf<`the records of export "orders" have another "id" than import "numbered" takes`>();
  });

  test("names no field of what is no object", () => {
    type NameRows = ImportIdFor<{ names: Export<string> }, { rows: Import<readonly string[]> }, "names", "rows">;

    expectTypeOf<NameRows>().toEqualTypeOf<`the records of export "names" are not what import "rows" takes`>();
  });

  test("does not count a field that the import can do without", () => {
    type Optional = ImportIdFor<
      { people: Export<Person> },
      { noted: Import<{ name: string; note?: string }> },
      "people",
      "noted"
    >;

    expectTypeOf<Optional>().toEqualTypeOf<"noted">();
  });

  test("stands beside the ids that fit", () => {
    expectTypeOf<ReasonFor<"orders", "ledger" | "greeter">>().toEqualTypeOf<
      "ledger" | `the records of export "orders" lack "name", which import "greeter" takes`
    >();
  });
});

describe("an export's records", () => {
  test("are known of a declared export, and of one written with satisfies", () => {
    const read = {
      async *pages({ checkpoint, pageSize }) {
        expectTypeOf(checkpoint).toEqualTypeOf<{ after: number } | undefined>();
        expectTypeOf(pageSize).toEqualTypeOf<number>();
        const records: Order[] = [];
        yield { records, checkpoint: { after: 1 } };
      },
    } satisfies Export<Order, { after: number }>;
    const heard = {
      listen({ accept }) {
        void accept([{ id: "1", number: 1, email: "", paid: true }]);
        return () => undefined;
      },
    } satisfies Export<Order>;

    const listed = new FlowRegistry({ exports: { orders, read, heard } });
    expectTypeOf(listed).toExtend<FlowRegistry>();
    type RegistryExports = typeof listed extends FlowRegistry<infer X> ? X : never;
    expectTypeOf<RecordOf<RegistryExports["orders"]>>().toEqualTypeOf<Order>();
    expectTypeOf<RecordOf<RegistryExports["read"]>>().toEqualTypeOf<Order>();
    expectTypeOf<RecordOf<RegistryExports["heard"]>>().toEqualTypeOf<Order>();
  });

  test("and its checkpoint are checked for every page", () => {
    const wrong: Export<Order, { after: number }> = {
      // @ts-expect-error the checkpoint is an object with `after`
      async *pages() {
        yield { records: [], checkpoint: 5 };
      },
    };
    const dated: Export<Order> = {
      // @ts-expect-error a checkpoint is JSON, which a Date is not
      async *pages() {
        yield { records: [], checkpoint: { at: new Date(0) } };
      },
    };
    expectTypeOf([wrong, dated]).toBeArray();
  });
});

describe("a checkpoint", () => {
  interface Cursor {
    after: number;
  }

  test("may be an interface", () => {
    const read: Export<Order, Cursor> = {
      async *pages({ checkpoint }) {
        expectTypeOf(checkpoint).toEqualTypeOf<Cursor | undefined>();
        yield { records: [], checkpoint: { after: 1 } };
      },
    };
    const open = new FlowRegistry({ exports: { read }, imports: { ledger } });
    open.addExport("later", read);

    void open.create({ name: "x", _exportId: "read", _importId: "ledger" });
  });
});

describe("defineExport", () => {
  test("infers the records from what pages yields, for key too", () => {
    const read = defineExport({
      async *pages({ checkpoint, pageSize }: ExportContext<{ after: number }>) {
        const records = [{ id: String(pageSize), at: checkpoint?.after ?? 0 }];
        yield { records, checkpoint: { after: 1 } };
      },
      key(record) {
        expectTypeOf(record).toEqualTypeOf<{ id: string; at: number }>();
        return record.id;
      },
    });

    expectTypeOf(read).toEqualTypeOf<Export<{ id: string; at: number }, { after: number }>>();
  });

  test("infers them from plain arrays, with JSON as the checkpoint", () => {
    const read = defineExport({
      async *pages() {
        yield [{ id: 1 }];
      },
    });

    expectTypeOf(read).toEqualTypeOf<Export<{ id: number }>>();
  });

  test("refuses what is no export", () => {
    // @ts-expect-error there is no such member
    defineExport({ keys: (order: Order) => order.id });
    // @ts-expect-error a page has records
    defineExport<Order>({ async *pages() { yield { orders: [] }; } }); // prettier-ignore
  });
});

describe("defineImport", () => {
  test("infers what it takes and what it writes from map", () => {
    const into = defineImport({
      idempotent: true,
      map: (order: Order) => ({ sku: order.id }),
      async write(records, { keys }) {
        expectTypeOf(records).toEqualTypeOf<readonly { sku: string }[]>();
        expectTypeOf(keys).toEqualTypeOf<readonly string[]>();
      },
    });

    expectTypeOf<InputOf<typeof into>>().toEqualTypeOf<Order>();
    expectTypeOf(into).toEqualTypeOf<Import<Order, { sku: string }>>();
  });

  test("infers it from filter, from a schema, or else from write", () => {
    const filtering = defineImport({
      idempotent: true,
      filter: (order: Order) => order.paid,
      async write(records) {
        expectTypeOf(records).toEqualTypeOf<readonly Order[]>();
      },
    });
    const checking = defineImport({
      idempotent: true,
      schema: v.pipe(
        v.object({ number: v.number() }),
        v.transform(({ number }) => String(number)),
      ),
      async write(records) {
        expectTypeOf(records).toEqualTypeOf<readonly string[]>();
      },
    });
    const writes = defineImport({ idempotent: true, write: writing<Order>() });

    expectTypeOf(filtering).toEqualTypeOf<Import<Order>>();
    expectTypeOf(checking).toEqualTypeOf<Import<{ number: number }, string>>();
    expectTypeOf(writes).toEqualTypeOf<Import<Order>>();
  });

  test("is judged by the same rules as a declared import", () => {
    const greeting = defineImport({ idempotent: true, write: writing<Person>() });
    const open = new FlowRegistry({ exports: { orders, people }, imports: { greeting } });

    void open.create({ name: "x", _exportId: "people", _importId: "greeting" });
    // @ts-expect-error orders have no name
    void open.create({ name: "x", _exportId: "orders", _importId: "greeting" });
    // @ts-expect-error idempotent is missing
    defineImport({ write: writing<Order>() });
  });
});

describe("create, update and define", () => {
  test("take one import that fits, or several", () => {
    void registry.create({ name: "one", _exportId: "orders", _importId: "ledger" });
    void registry.create({ name: "several", _exportId: "orders", _importIds: ["ledger", "mailer", "mapped", "both"] });
    void registry.create({ name: "both", _exportId: "orders", _importId: "ledger", _importIds: ["ledger", "mailer"] });
    void registry.create({
      name: "nulls",
      _exportId: "people",
      _importId: null,
      _importIds: ["greeter"],
      schedule: null,
    });
    void registry.update("x", { name: "one", _exportId: "orders", _importId: "inline" });
    void registry.define("x", { name: "one", _exportId: "people", _importId: "anything" });
  });

  test("refuse an import that cannot take the export's records, however that is written", () => {
    // @ts-expect-error declared as Import<Person>
    void registry.create({ name: "x", _exportId: "orders", _importId: "greeter" });
    // @ts-expect-error declared as Import<Order>
    void registry.create({ name: "x", _exportId: "people", _importId: "ledger" });
    // @ts-expect-error declared as Import<Order, readonly string[]>
    void registry.create({ name: "x", _exportId: "people", _importId: "rows" });
    // @ts-expect-error written with satisfies Import<Order>
    void registry.create({ name: "x", _exportId: "people", _importId: "inline" });
    // @ts-expect-error known by its map
    void registry.create({ name: "x", _exportId: "people", _importId: "mapped" });
    // @ts-expect-error known by its map only
    void registry.create({ name: "x", _exportId: "people", _importId: "mapOnly" });
    // @ts-expect-error known by its filter only
    void registry.create({ name: "x", _exportId: "people", _importId: "filterOnly" });
    // @ts-expect-error known by its filter and its write
    void registry.create({ name: "x", _exportId: "people", _importId: "filtered" });
    // @ts-expect-error known by its schema
    void registry.create({ name: "x", _exportId: "people", _importId: "checked" });
    // @ts-expect-error some records are of another type
    void registry.create({ name: "x", _exportId: "either", _importId: "ledger" });
    // @ts-expect-error the second of them is declared as Import<Person>
    void registry.create({ name: "x", _exportId: "orders", _importIds: ["ledger", "greeter"] });
    // @ts-expect-error update, too
    void registry.update("x", { name: "x", _exportId: "orders", _importId: "greeter" });
    // @ts-expect-error define, too
    void registry.define("x", { name: "x", _exportId: "orders", _importId: "greeter" });
  });

  test("refuse an id that nobody registered, and a field that is unknown", () => {
    // @ts-expect-error there is no such export
    void registry.create({ name: "x", _exportId: "order", _importId: "ledger" });
    // @ts-expect-error there is no such import
    void registry.create({ name: "x", _exportId: "orders", _importId: "legder" });
    // @ts-expect-error there is no such import, whatever the export
    void registry.create({ name: "x", _exportId: known, _importId: "legder" });
    // @ts-expect-error there is no such import among several
    void registry.create({ name: "x", _exportId: "orders", _importIds: ["ledger", "legder"] });
    // @ts-expect-error there is no such field
    void registry.create({ name: "x", _exportId: "orders", _importId: "ledger", shedule: "0 2 * * *" });
    // @ts-expect-error a flow has a name
    void registry.create({ _exportId: "orders", _importId: "ledger" });
    // @ts-expect-error a flow has an export
    void registry.create({ name: "x", _importId: "ledger" });
  });

  test("take ids known only at run time", () => {
    void registry.create({ name: "x", _exportId: known, _importId: known });
    void registry.create({ name: "x", _exportId: known, _importIds: [known, known] });
    void registry.create({ name: "x", _exportId: "orders", _importId: known });
    void registry.create({ name: "x", _exportId: known, _importId: "greeter" });
    const input: FlowInput = { name: "x", _exportId: "any", _importId: "thing" };
    void registry.create(input);
  });

  test("take a document back", async () => {
    const flow = await registry.get("x");

    void registry.update(flow._id, { ...flow, name: "New" }, { lastModified: flow.lastModified });
    expectTypeOf(registry.update("x", flow)).resolves.toEqualTypeOf<Flow>();
  });

  test("take any id if the registry knows none at compile time", () => {
    const open = new FlowRegistry();
    const erased: FlowRegistry = registry;

    void open.create({ name: "x", _exportId: "any", _importId: "thing" });
    void erased.create({ name: "x", _exportId: "any", _importIds: ["thing"] });
  });

  test("know imports that are written in place", () => {
    const inPlace = new FlowRegistry({
      exports: { orders },
      imports: {
        untyped: {
          idempotent: true,
          async write(records) {
            expectTypeOf(records).toEqualTypeOf<readonly unknown[]>();
          },
        },
        people: { idempotent: true, map: (person: Person) => person.name, write: writing<unknown>() },
      },
    });

    void inPlace.create({ name: "x", _exportId: "orders", _importId: "untyped" });
    // @ts-expect-error its map is given a Person
    void inPlace.create({ name: "x", _exportId: "orders", _importId: "people" });
  });
});

describe("defineAll", () => {
  test("takes flows by their ids, and returns them so", () => {
    const flows = registry.defineAll(
      {
        "nightly-orders": { name: "one", _exportId: "orders", _importId: "ledger", schedule: "0 2 * * *" },
        greetings: { name: "two", _exportId: "people", _importIds: ["greeter", "anything"] },
        tenant: { name: "three", _exportId: known, _importId: known },
      },
      { group: "shop", removed: "disable" },
    );

    expectTypeOf(flows).resolves.toEqualTypeOf<{
      readonly "nightly-orders": Flow;
      readonly greetings: Flow;
      readonly tenant: Flow;
    }>();
  });

  test("takes flows that are known only at run time", () => {
    const many: Record<string, FlowInput> = {};

    expectTypeOf((registry as FlowRegistry).defineAll(many)).resolves.toEqualTypeOf<Readonly<Record<string, Flow>>>();
    void registry.defineAll(many);
  });

  test("refuses what no flow could be, flow by flow", () => {
    // @ts-expect-error people are no orders
    void registry.defineAll({ a: { name: "x", _exportId: "people", _importId: "ledger" } });
    // @ts-expect-error the second of them is declared as Import<Person>
    void registry.defineAll({ a: { name: "x", _exportId: "orders", _importIds: ["ledger", "greeter"] } });
    // @ts-expect-error there is no such export
    void registry.defineAll({ a: { name: "x", _exportId: "order", _importId: "ledger" } });
    // @ts-expect-error there is no such import
    void registry.defineAll({ a: { name: "x", _exportId: "orders", _importId: "legder" } });
    // @ts-expect-error there is no such field
    void registry.defineAll({ a: { name: "x", _exportId: "orders", _importId: "ledger", shedule: "0 2 * * *" } });
    // @ts-expect-error there is no such option
    void registry.defineAll({}, { remove: "delete" });
  });
});

describe("patch", () => {
  test("takes any part of a flow", () => {
    void registry.patch("x", {});
    void registry.patch("x", { disabled: true, schedule: null, _integrationId: null });
    void registry.patch("x", { _importId: "greeter" });
    void registry.patch("x", { _importIds: ["ledger", "greeter"] });
    void registry.patch("x", { _exportId: known, _importId: known });
    void registry.patch("x", { _exportId: "orders", _importId: "ledger" }, { lastModified: "2030" });
  });

  test("refuses what no flow could be", () => {
    // @ts-expect-error there is no such field
    void registry.patch("x", { disbled: true });
    // @ts-expect-error there is no such import
    void registry.patch("x", { _importId: "legder" });
    // @ts-expect-error there is no such export
    void registry.patch("x", { _exportId: "order" });
    // @ts-expect-error these two do not fit
    void registry.patch("x", { _exportId: "people", _importId: "ledger" });
    // @ts-expect-error a name cannot be taken away
    void registry.patch("x", { name: null });
  });
});

describe("accept", () => {
  const order = { id: "1", number: 1, email: "a@b.c", paid: true };

  test("takes the export's records", () => {
    void scheduler.accept("orders", [order], { ids: ["1"] });
    void scheduler.accept("people", [{ name: "Ada" }]);
    void scheduler.accept("either", [order, { name: "Ada" }]);
    void scheduler.accept("orders", []);
    expectTypeOf<Parameters<typeof scheduler.accept<"orders">>[1]>().toEqualTypeOf<readonly Order[]>();
    expectTypeOf(scheduler.accept("orders", [order])).resolves.toEqualTypeOf<AcceptResult>();
  });

  test("refuses other records, and exports that nobody registered", () => {
    // @ts-expect-error a person is no order
    void scheduler.accept("orders", [{ name: "Ada" }]);
    // @ts-expect-error half an order is none
    void scheduler.accept("orders", [order, { id: "2" }]);
    // @ts-expect-error there is no such export
    void scheduler.accept("order", []);
  });

  test("takes any records for an id known only at run time", () => {
    void scheduler.accept(known, [1, "two", order]);
    void (scheduler as Scheduler).accept("any", [1]);
  });

  test("of a listening export takes its records only", () => {
    expectTypeOf<Parameters<ListenContext<Order>["accept"]>[0]>().toEqualTypeOf<readonly Order[]>();
  });
});

describe("an import", () => {
  test("has to say whether it is idempotent", () => {
    // @ts-expect-error idempotent is missing
    const forgetful: Import<Order> = { write: writing<unknown>() };
    expectTypeOf(forgetful).toBeObject();
  });

  test("has a map if it writes something else than it takes", () => {
    // @ts-expect-error map is missing
    const forgetful: Import<Order, Person> = { idempotent: true, write: writing<Person>() };
    const narrowing: Import<Order, Pick<Order, "id">> = { idempotent: true, write: writing<Pick<Order, "id">>() };
    const mapping: Import<Order, Person> = {
      idempotent: true,
      map: (order) => ({ name: order.email }),
      async write(records) {
        expectTypeOf(records).toEqualTypeOf<readonly Person[]>();
      },
    };
    expectTypeOf([forgetful, narrowing, mapping]).toBeArray();
  });

  test("may be a class", () => {
    class Ledger implements ImportMembers<Order, Person> {
      readonly idempotent = true;
      map(order: Order): Person {
        return { name: order.id };
      }
      async write(records: readonly Person[]): Promise<void> {
        await writing<Person>()(records);
      }
    }
    const open = new FlowRegistry({ exports: { orders, people }, imports: { ledger: new Ledger() } });

    void open.create({ name: "x", _exportId: "orders", _importId: "ledger" });
    // @ts-expect-error its map is given an Order
    void open.create({ name: "x", _exportId: "people", _importId: "ledger" });
  });

  test("may be any Standard Schema's, by what the schema returns", () => {
    const schema = v.object({ email: v.pipe(v.string(), v.email()) });
    const fits: Import<Order, { email: string }> = { idempotent: true, schema, write: writing<unknown>() };
    // @ts-expect-error what the schema returns is not what is written
    const differs: Import<Order, { id: number }> = { idempotent: true, schema, write: writing<unknown>() };
    expectTypeOf([fits, differs]).toBeArray();
  });
});

test("a typed registry or scheduler goes where any is wanted", () => {
  expectTypeOf(registry).toExtend<FlowRegistry>();
  expectTypeOf(scheduler).toExtend<Scheduler>();
});

test("pino and console are loggers", () => {
  interface Pino {
    info: { (fields: unknown, message?: string, ...rest: unknown[]): void; (message: string): void };
  }
  expectTypeOf(console).toExtend<Logger>();
  expectTypeOf<Record<keyof Logger, Pino["info"]>>().toExtend<Logger>();
});

test("a listener knows its event's payload", () => {
  registry.on("flow:updated", (payload) => {
    expectTypeOf(payload).toEqualTypeOf<RegistryEvents["flow:updated"]>();
    expectTypeOf(payload.previous).toEqualTypeOf<Flow>();
  });
  scheduler.once("run:completed", ({ run }) => {
    expectTypeOf(run).toEqualTypeOf<Run>();
  });
  scheduler.off("flow:overdue", async () => undefined);
  // @ts-expect-error there is no such event
  scheduler.on("run:complete", () => undefined);
  // @ts-expect-error only the registry itself tells events
  registry.emit("flow:created", {});
});

test("isPoundlockError makes an error one of ours", () => {
  const error: unknown = null;
  if (isPoundlockError(error)) expectTypeOf(error).toEqualTypeOf<PoundlockError>();
});

/** The places in `T` where there is an `any`; `never` if there are none. */
type AnyIn<T, Place extends string = "", Depth extends 0[] = []> = 0 extends 1 & T
  ? Place
  : Depth["length"] extends 7
    ? never
    : T extends AbortSignal | Date | Error | string | number | boolean | null | undefined
      ? never
      : T extends (...args: infer Args) => infer Answer
        ? AnyIn<Args[number], `${Place}()`, [...Depth, 0]> | AnyIn<Answer, `${Place}:`, [...Depth, 0]>
        : T extends Promise<infer Value>
          ? AnyIn<Value, Place, [...Depth, 0]>
          : T extends readonly (infer Item)[]
            ? AnyIn<Item, `${Place}[]`, [...Depth, 0]>
            : T extends AsyncIterable<infer Item>
              ? AnyIn<Item, `${Place}*`, [...Depth, 0]>
              : { [K in keyof T]-?: AnyIn<T[K], `${Place}.${K & string}`, [...Depth, 0]> }[keyof T];

describe("there is no any in", () => {
  test("what a host writes and calls", () => {
    expectTypeOf<AnyIn<FlowRegistry>>().toEqualTypeOf<never>();
    expectTypeOf<AnyIn<typeof registry>>().toEqualTypeOf<never>();
    expectTypeOf<AnyIn<Scheduler>>().toEqualTypeOf<never>();
    expectTypeOf<AnyIn<typeof scheduler>>().toEqualTypeOf<never>();
    expectTypeOf<AnyIn<Export<Order>>>().toEqualTypeOf<never>();
    expectTypeOf<AnyIn<Export<unknown>>>().toEqualTypeOf<never>();
    expectTypeOf<AnyIn<Import<Order, string>>>().toEqualTypeOf<never>();
    expectTypeOf<AnyIn<Import<unknown>>>().toEqualTypeOf<never>();
    expectTypeOf<AnyIn<Page<Order>>>().toEqualTypeOf<never>();
    expectTypeOf<AnyIn<FlowInput>>().toEqualTypeOf<never>();
    expectTypeOf<AnyIn<SchedulerOptions>>().toEqualTypeOf<never>();
    expectTypeOf<AnyIn<SchedulerEvents>>().toEqualTypeOf<never>();
    expectTypeOf<AnyIn<RegistryEvents>>().toEqualTypeOf<never>();
    expectTypeOf<AnyIn<Storage>>().toEqualTypeOf<never>();
    expectTypeOf<AnyIn<PoundlockError>>().toEqualTypeOf<never>();
  });

  test("and the search would see one", () => {
    interface Leaky {
      fine: string;
      read(from: { deep: unknown[] }): Promise<{ items: readonly { value: any }[] }>; // eslint-disable-line @typescript-eslint/no-explicit-any
      write(records: any): void; // eslint-disable-line @typescript-eslint/no-explicit-any
    }

    expectTypeOf<AnyIn<Leaky>>().toEqualTypeOf<".read:.items[].value" | ".write()">();
  });
});

test("alerts read a scheduler of any exports and imports, and are an export that imports of alerts fit", () => {
  const registry = new FlowRegistry({ exports: { orders } });
  const source = alerts(new Scheduler(registry));

  expectTypeOf(source).toEqualTypeOf<Export<Alert, AlertCheckpoint>>();
  const slack: Import<Alert> = { idempotent: true, write: async () => undefined };
  const own = new FlowRegistry({ exports: { alerts: source }, imports: { slack } });
  void own.define("alerts", { name: "Alerts", _exportId: "alerts", _importId: "slack" });
});
