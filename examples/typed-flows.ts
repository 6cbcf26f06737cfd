// One idea: the compiler knows your exports and imports. An id that does not exist, or an import that cannot take an
// export's records, is underlined while you type; and what no compiler sees is refused at run time, all at once.

import { type Export, FlowRegistry, type Import, InvalidFlowError } from "poundlock";

interface Order {
  readonly id: string;
  readonly total: number;
}

interface Person {
  readonly email: string;
}

const orders: Export<Order> = {
  async *pages() {
    yield [{ id: "A-1", total: 250 }];
  },
};
const ledger: Import<Order> = { idempotent: true, write: async () => undefined };
const newsletter: Import<Person> = { idempotent: true, write: async () => undefined };
// `map` says what an import takes: orders go in here, though lines come out.
const archive: Import<Order, string> = {
  idempotent: true,
  map: ({ id, total }) => `${id}: ${total}`,
  write: async () => undefined,
};

const registry = new FlowRegistry({ exports: { orders }, imports: { ledger, newsletter, archive } });

// The ids below are completed by your editor.
const flow = await registry.create({
  name: "Orders to ledger and archive",
  _exportId: "orders",
  _importIds: ["ledger", "archive"],
});
console.log(`created: ${flow.name}`);

// These do not compile; `npm run typecheck` would fail if they did.
export const refusedByTheCompiler = [
  // @ts-expect-error there is no import "leger"
  () => registry.create({ name: "A typing error", _exportId: "orders", _importId: "leger" }),
  // @ts-expect-error the newsletter needs an email, which an order does not have
  () => registry.create({ name: "Orders to people", _exportId: "orders", _importId: "newsletter" }),
];
console.log(`refused by the compiler: ${refusedByTheCompiler.length} flows`);

// Ids that are plain strings, out of a form or a file, are checked at run time. Every problem is reported, not just one.
const fromAForm: { name: string; _exportId: string; _importId: string; schedule: string } = {
  name: "",
  _exportId: "order",
  _importId: "ledger",
  schedule: "* * * *",
};
try {
  await registry.create(fromAForm);
} catch (error) {
  if (!(error instanceof InvalidFlowError)) throw error;
  console.log("refused at run time:");
  for (const { code, field, message } of error.issues)
    console.log(`  ${field.padEnd(9)}  ${code.padEnd(13)}  ${message}`);
}
