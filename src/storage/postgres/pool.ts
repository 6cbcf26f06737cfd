/** What poundlock calls of a pool of connections; a `pg.Pool` is one. */
export interface PostgresPool {
  /** Executes one statement on any connection. */
  query(query: PostgresQuery): Promise<PostgresResult>;
  /** A connection of its own, until it is released. */
  connect(): Promise<PostgresClient>;
  /** Takes a listener for errors of connections that nobody uses, and one for the connections it hands out. */
  on?: PostgresPoolEvents;
}

/** What a pool emits. */
export interface PostgresPoolEvents {
  (event: "error", listener: (error: Error) => void): unknown;
  /** A connection is handed out, also for a statement of `query`. */
  (event: "acquire", listener: (client: PostgresClient) => void): unknown;
}

/** One connection. */
export interface PostgresClient {
  /**
   * Executes one statement; several, separated by semicolons, if it has no `values`. If it then resolves with an array of
   * results, one for each, as `pg` does, statements of a transaction go together; otherwise each is sent by itself.
   */
  query(query: PostgresQuery): Promise<PostgresResult>;
  /** Returns the connection to its pool, or closes it if it failed with `error`. */
  release(error?: Error): void;
  /** Takes listeners for the connection's errors, its end and its notifications. */
  on?: PostgresClientEvents;
}

/** What a connection emits. */
export interface PostgresClientEvents {
  (event: "error", listener: (error: Error) => void): unknown;
  (event: "end", listener: () => void): unknown;
  (event: "notification", listener: (message: { readonly channel: string }) => void): unknown;
}

/** A statement as a pool takes it. */
export interface PostgresQuery {
  /** With `$1`, `$2` and so on for the values. */
  readonly text: string;
  /** Null, numbers, strings and bytes. */
  values?: unknown[];
  /** The statement may be kept prepared on its connection under this name, which no other text has. */
  readonly name?: string;
  /** How to read the values of the rows, by the OID of their type. */
  readonly types?: PostgresTypes;
}

/** What a statement returns: objects by column name. */
export interface PostgresResult {
  readonly rows: readonly unknown[];
}

/** How values are read that arrive as text. */
export interface PostgresTypes {
  getTypeParser(oid: number, format?: string): (value: string) => unknown;
}

/** A schema of PostgreSQL's catalog: numbers as numbers, bytes as bytes, and anything else as it arrives. */
export const types: PostgresTypes = { getTypeParser: (oid) => parsers.get(oid) ?? ((value) => value) };

const toNumber = (value: string) => Number(value);
const toBytes = (value: string) => Buffer.from(value.slice(2), "hex");

/** smallint, integer, bigint and double precision, then bytea. */
const parsers = new Map<number, (value: string) => unknown>([
  [21, toNumber],
  [23, toNumber],
  [20, toNumber],
  [701, toNumber],
  [17, toBytes],
]);

const listening = new WeakSet();

/** Without a listener, Node ends the process when a connection breaks. The call that needed it is rejected anyway. */
export function ignoreErrors(of: PostgresPool | PostgresClient): void {
  if (listening.has(of)) return;
  listening.add(of);
  of.on?.("error", () => undefined);
}

/** The same for a pool and each of its connections: a pool has no listener of its own between two statements of one. */
export function ignoreErrorsIn(pool: PostgresPool): void {
  if (listening.has(pool)) return;
  ignoreErrors(pool);
  pool.on?.("acquire", ignoreErrors);
}
