import Database from "libsql";
import { FlowRegistry, Scheduler } from "poundlock";
import { withLookup } from "poundlock/connectors";
import { csv, fileImport, localFiles } from "poundlock/connectors/files";
import { connection, httpExport, nextToken } from "poundlock/connectors/http";
import { clientCredentials } from "poundlock/connectors/oauth";
import { sqlImport, sqlite } from "poundlock/connectors/sql";
import { SqliteStorage } from "poundlock/storage/sqlite";
import { type Airport, type Flight, type FlightsPage, columns, folder, server } from "./flight.ts";

const auth = clientCredentials({ tokenUrl: `${server}/token`, clientId: "host", clientSecret: "secret" });
const airline = connection({ baseUrl: `${server}/airline`, auth, timeoutMs: 1_000 });
const airports = connection({ baseUrl: `${server}/airports`, attempts: 1 });
const flights = httpExport({
  connection: airline,
  request: ({ since }) => ({ path: "flights", query: { since: since?.toISOString() } }),
  records: (body: FlightsPage) => body.flights,
  paging: nextToken({ from: (body) => body.next, to: "cursor" }),
  delta: { at: (flight) => flight.updatedAt }, // the next run asks for what has changed since
  key: (flight) => flight.id,
  version: (flight) => flight.updatedAt,
});
const database = sqlite(new Database(`${folder}/flights.db`));
const table = withLookup(sqlImport<object>({ database, table: "flights", key: ["id"] }), {
  keyOf: (flight: Flight) => flight.origin,
  find: async (code, { signal }) => new Map(await airports.read<Airport[]>({ query: { code } }, signal)),
  merge: ({ id, delay }, origin) => ({ id, origin, delay }),
});
const file = fileImport<Flight>({ files: localFiles(folder), format: csv({ columns }), append: "flights.csv" });
const storage = await SqliteStorage.open(`${folder}/poundlock.db`);
const registry = new FlowRegistry({ exports: { flights }, imports: { table, file }, storage });
const flow = { name: "Flights", schedule: "@hourly", _exportId: "flights", _importIds: ["table", "file"] } as const;
await registry.define("flights", flow);
export const scheduler = new Scheduler(registry, { leaseMs: 1_000, maxWaitMs: 500 }); // short: somebody is watching
