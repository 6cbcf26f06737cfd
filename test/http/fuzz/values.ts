import fc from "fast-check";

/** A value for a field, and whether a flow with it holds: known from how it was made, not by asking. */
export interface Field {
  readonly given: Readonly<Record<string, unknown>>;
  /** What the flow then has; undefined in a field: it has none. */
  readonly means: Readonly<Record<string, unknown>>;
  /** The field that is refused, if one is. */
  readonly wrong?: string;
}

const good = (given: Record<string, unknown>, means = given): Field => ({ given, means });
const bad = (name: string, value: unknown): Field => ({ given: { [name]: value }, means: {}, wrong: name });
const absent = (name: string): Field => ({ given: {}, means: { [name]: undefined } });

const hostile: readonly unknown[] = [
  1,
  true,
  {},
  ["x"],
  "",
  "  ",
  "\0",
  "\ud800",
  "x".repeat(257),
  Array(60).fill("ledger"),
];

function field(name: string, goods: readonly Field[], bads: readonly unknown[]): fc.Arbitrary<Field> {
  return fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom(...goods) },
    { weight: 1, arbitrary: fc.constantFrom(...bads.map((value) => bad(name, value))) },
  );
}

const strings = (name: string, ...values: readonly string[]): readonly Field[] =>
  values.map((value) => good({ [name]: value }, { [name]: value.trim() }));
const optional = (name: string, ...values: readonly string[]): readonly Field[] => [
  absent(name),
  good({ [name]: null }, { [name]: undefined }),
  ...strings(name, ...values),
];

const name = field(
  "name",
  strings("name", "Orders", "  padded ", "ünïcödé 🎈", "x".repeat(255), "a/b?c#d%20", "__proto__", "null", "a\u2028b"),
  [null, ...hostile],
);
const schedule = field("schedule", optional("schedule", "0 * * * *", "*/5 * * * *", "H H * * *", " 0 9 * * 1-5 "), [
  "often",
  "* * * * * *",
  "99 * * * *",
  "@reboot",
  "0 0 31 2 x",
  ...hostile.filter((value) => value !== "  "),
  "  ",
]);
const timezone = field("timezone", optional("timezone", "Europe/Oslo", "UTC"), ["Mars/Olympus", "+25:00", ...hostile]);
const exportId = field(
  "_exportId",
  [
    ...strings("_exportId", "numbers", "hook", " numbers "),
    good({ pageGenerators: [{ _exportId: "hook" }] }, { _exportId: "hook" }),
  ],
  ["none", null, ...hostile],
);
const integrationId = field("_integrationId", optional("_integrationId", "acme", "other", "a&b=c"), hostile);
const connectorId = field("_connectorId", optional("_connectorId", "shop"), hostile);
const disabled = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.constantFrom(
      good({}, { disabled: false }),
      good({ disabled: false }),
      good({ disabled: null }, { disabled: false }),
      good({ disabled: true }),
    ),
  },
  { weight: 1, arbitrary: fc.constantFrom(...[0, "true", {}, [], "", 1].map((value) => bad("disabled", value))) },
);
const imports = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.constantFrom(
      good({ _importId: "ledger" }, { _importIds: ["ledger"] }),
      good({ _importId: " picky " }, { _importIds: ["picky"] }),
      good({ _importIds: ["picky"] }),
      good({ _importIds: ["ledger", "picky"] }),
      good({ _importId: "picky", _importIds: ["picky", "ledger"] }, { _importIds: ["picky", "ledger"] }),
      good({ _importId: null, _importIds: ["ledger"] }, { _importIds: ["ledger"] }),
      good(
        { pageProcessors: [{ type: "import", _importId: "picky", responseMapping: {} }, { _importId: "ledger" }] },
        { _importIds: ["picky", "ledger"] },
      ),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom<Field>(
      bad("_importId", "none"),
      bad("_importId", 1),
      bad("_importIds", []),
      bad("_importIds", ["ledger", "ledger"]),
      bad("_importIds", ["ledger", "none"]),
      bad("_importIds", ["ledger", 1]),
      bad("_importIds", "ledger"),
      { given: { _importId: "ledger", _importIds: ["picky"] }, means: {}, wrong: "_importId" },
      { given: { _importId: null, _importIds: null }, means: {}, wrong: "_importId" },
    ),
  },
);
/** What a flow has beside what can be written. */
const others = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.constantFrom(good({}), good({ _id: "echo", lastModified: 1, nextRunAt: null, createdAt: [] }, {})),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(bad("nope", 1), bad("__proto__", { disabled: true }), bad("constructor", null)),
  },
);

/** Every field of a flow, as a client may send them. */
export const flowFields = fc.tuple(
  name,
  schedule,
  timezone,
  exportId,
  imports,
  integrationId,
  connectorId,
  disabled,
  others,
);

/** Some fields, as a patch has them: only those that are given. */
export const someFields = fc
  .subarray([name, schedule, timezone, exportId, imports, integrationId, connectorId, disabled, others])
  .chain((some) => fc.tuple(...some))
  .map((fields) => fields.filter(({ given }) => Object.keys(given).length > 0));

/** The body: as JSON, where `__proto__` is a name like any other. */
export function bodyOf(fields: readonly Field[]): string {
  const members = fields.flatMap(({ given }) => Object.entries(given));
  return `{${members.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join()}}`;
}

/** The same as a JSON Patch. */
export function patchOf(fields: readonly Field[]): string {
  const members = fields.flatMap(({ given }) => Object.entries(given));
  const operations = members.map(([key, value]) => ({
    op: "replace",
    path: `/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`,
    value,
  }));
  return JSON.stringify(operations);
}

/** The names of the fields that are refused. */
export function wrongOf(fields: readonly Field[]): readonly string[] {
  return fields.flatMap(({ wrong }) => (wrong === undefined ? [] : [wrong])).sort();
}
