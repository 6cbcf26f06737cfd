import { createHash } from "node:crypto";
import { InvalidOptionError } from "../../errors.ts";
import { type ImportContext, type ImportMembers, type Result, importRules } from "../../model/host/import.ts";
import { formatValue } from "../../model/record/json.ts";
import { outcomeOf } from "../../model/host/outcome.ts";
import {
  type Shape,
  callable,
  checkObject,
  objectWith,
  string,
  v,
  validate,
  wholeNumber,
} from "../../model/validate.ts";
import { itemAt } from "../../model/item-at.ts";
import { type Answer, type BodyCheck, type Fate, type Verdict, fateOf, judge, judgeBody, thrownAs } from "./answer.ts";
import type { Connection } from "./connection.ts";
import type { HttpRequest } from "./request.ts";

/** What both kinds of import have. */
interface CommonOptions<In, B, R> extends Pick<
  ImportMembers<In, In, R>,
  "idempotent" | "batchSize" | "writeTimeoutMs" | "sameKey" | "find"
> {
  readonly connection: Connection;
  /** Looks at the body of a success: returns a verdict, or throws, if it is none. @default a 2xx is a success */
  readonly check?: BodyCheck<B>;
  /** Asked first what an answer means; undefined leaves it to the outcomes table. */
  readonly verdict?: (answer: Answer<B>) => Verdict;
  /** What an answer's text is parsed with. @default JSON.parse */
  readonly parse?: (text: string, headers: Headers) => B;
  /**
   * Name of a header that gets the record's idempotency key, or a hash of those of the batch: for servers that ignore
   * a second request under the same one.
   *
   * @default none is sent
   */
  readonly keyHeader?: string;
}

/** An import that sends a request for each record. */
export interface RecordImportOptions<In, B = unknown, R = unknown> extends CommonOptions<In, B, R> {
  /** The request for a record. What it throws is a `reject` of that record. */
  readonly request: (record: In, context: RecordContext) => HttpRequest | Promise<HttpRequest>;
  /** What the write returns for the record. @default nothing */
  readonly value?: (body: B, headers: Headers) => R;
  /** Requests of one batch under way at once; 1 or more. @default 4 */
  readonly concurrency?: number;
}

/** An import that sends a request for each batch. */
export interface BatchImportOptions<In, B = unknown, R = unknown> extends CommonOptions<In, B, R> {
  /** The request for a batch. What it throws is a `reject` of the batch. */
  readonly batch: (records: readonly In[], context: ImportContext) => HttpRequest | Promise<HttpRequest>;
  /** What became of each record, in order. @default a success means that all were written */
  readonly results?: (body: B, headers: Headers) => readonly Result<R>[];
  /** Batches of one page under way at once; 1 or more. @default 1 */
  readonly concurrency?: number;
}

/** What `request` is given beside the record. */
export interface RecordContext extends Pick<ImportContext, "attempt" | "run" | "flow" | "signal" | "log"> {
  /** Identifies the thing that the record is about. */
  readonly key: string;
  /** Identifies this state of it. */
  readonly idempotencyKey: string;
}

/** An import that writes to an HTTP API. Spread it to add a `filter`, `map` or `schema`, which may take other records. */
export type HttpImport<In, R = unknown> = Omit<ImportMembers<In, In, R>, "filter" | "map" | "schema">;

const commonRules: Shape<CommonOptions<unknown, unknown, unknown>> = {
  connection: objectWith(["read", "send", "exchange"], "what connection() returns"),
  check: v.optional(callable),
  verdict: v.optional(callable),
  parse: v.optional(callable),
  keyHeader: v.optional(string),
  idempotent: importRules.idempotent,
  batchSize: importRules.batchSize,
  writeTimeoutMs: importRules.writeTimeoutMs,
  sameKey: importRules.sameKey,
  find: importRules.find,
};
const concurrency = v.optional(wholeNumber(1));
const recordRules = { ...commonRules, request: callable, value: v.optional(callable), concurrency };
const batchRules = { ...commonRules, batch: callable, results: v.optional(callable), concurrency };

/**
 * Writes to an HTTP API, a request a record or a request a batch. What each status means: docs/connectors/http.md.
 *
 * @throws `invalid_option` for an option that is missing or out of range.
 */
export function httpImport<In, B = unknown, R = unknown>(
  options: RecordImportOptions<In, B, R> | BatchImportOptions<In, B, R>,
): HttpImport<In, R> {
  checkObject(options, InvalidOptionError, "httpImport");
  const { idempotent, batchSize, writeTimeoutMs, sameKey, find } = options;
  const settings = {
    idempotent,
    ...(batchSize === undefined ? {} : { batchSize }),
    ...(writeTimeoutMs === undefined ? {} : { writeTimeoutMs }),
    ...(sameKey === undefined ? {} : { sameKey }),
    ...(find === undefined ? {} : { find }),
  };
  if ("batch" in options) {
    validate(options, batchRules, InvalidOptionError, "httpImport.");
    const atOnce = options.concurrency === undefined ? {} : { concurrency: options.concurrency };
    return { ...settings, ...atOnce, write: (records, context) => writeBatch(options, records, context) };
  }
  validate(options, recordRules, InvalidOptionError, "httpImport.");
  return { ...settings, write: (records, context) => new RecordWrites(options, records, context).run() };
}

async function writeBatch<In, B, R>(
  options: BatchImportOptions<In, B, R>,
  records: readonly In[],
  context: ImportContext,
): Promise<void | readonly Result<R>[]> {
  let request: HttpRequest;
  try {
    request = await options.batch(records, context);
  } catch (error) {
    throw thrownAs("reject", error);
  }
  const key = options.keyHeader === undefined ? "" : batchKey(context.idempotencyKeys);
  const answer = await success(options, withKey(request, options.keyHeader, key), context.signal);
  if (options.results === undefined) return;
  const results: unknown = options.results(answer.parsed() as B, answer.headers);
  if (!Array.isArray(results))
    throw answer.unexpected(`a body of which results made ${formatValue(results)}: ${answer.excerpt()}`);
  if (results.length !== records.length)
    throw answer.unexpected(`${results.length} results for ${records.length} records: ${answer.excerpt()}`);
  return results as readonly Result<R>[];
}

/** One batch, record by record. */
class RecordWrites<In, B, R> {
  readonly #options: RecordImportOptions<In, B, R>;
  readonly #records: readonly In[];
  readonly #context: ImportContext;
  readonly #results: Result<R>[];
  #next = 0;
  /** Thrown by the whole batch: going on is useless. */
  #stop: { readonly error: unknown } | undefined;

  constructor(options: RecordImportOptions<In, B, R>, records: readonly In[], context: ImportContext) {
    this.#options = options;
    this.#records = records;
    this.#context = context;
    this.#results = new Array<Result<R>>(records.length);
  }

  async run(): Promise<readonly Result<R>[]> {
    const { concurrency: atOnce = 4 } = this.#options;
    await Promise.all(Array.from({ length: Math.min(atOnce, this.#records.length) }, () => this.#work()));
    if (this.#stop !== undefined) throw this.#stop.error;
    return this.#results;
  }

  async #work(): Promise<void> {
    while (this.#next < this.#records.length && this.#stop === undefined) {
      const index = this.#next++;
      this.#results[index] = await this.#write(this.#records[index] as In, index);
    }
  }

  async #write(record: In, index: number): Promise<Result<R>> {
    const context = new OneRecord(this.#context, index);
    let request: HttpRequest;
    try {
      request = await this.#options.request(record, context);
    } catch (error) {
      return this.#resultOf(error, outcomeOf(error) === undefined ? "reject" : fateOf(error, "write"));
    }
    try {
      const { keyHeader, value } = this.#options;
      const key = keyHeader === undefined ? "" : context.idempotencyKey;
      const answer = await success(this.#options, withKey(request, keyHeader, key), this.#context.signal);
      // 204: the server says that there is nothing to say.
      if (value === undefined || answer.status === 204) return { ok: true };
      return { ok: true, value: value(answer.parsed() as B, answer.headers) };
    } catch (error) {
      return this.#resultOf(error, fateOf(error, "write"));
    }
  }

  #resultOf(error: unknown, fate: Fate): Result<R> {
    if (fate === "stop") this.#stop ??= { error };
    if (fate === "reject") return { ok: false, fault: "reject", error };
    if (fate !== "retryLater") return { ok: false, fault: "unknown", error };
    const outcome = outcomeOf(error);
    const afterMs = outcome?.kind === "retryLater" ? outcome.afterMs : undefined;
    return { ok: false, fault: "retry", error, ...(afterMs === undefined ? {} : { afterMs }) };
  }
}

/** An answer that is a success. @throws what an import may throw, if it is none. */
async function success<In, B, R>(
  options: CommonOptions<In, B, R>,
  request: HttpRequest,
  signal: AbortSignal,
): Promise<Answer<B>> {
  const { check, connection, keyHeader, parse, verdict } = options;
  const plainHeaders = keyHeader === undefined ? undefined : [keyHeader.toLowerCase()];
  const answer = await connection.exchange<B>(request, { direction: "write", signal, parse, plainHeaders });
  const judged = judge(answer, "write", { verdict, keyed: keyHeader !== undefined });
  if (judged.error !== undefined) throw thrownAs(judged.fate, judged.error);
  if (check === undefined) return answer;
  const { error, fate } = judgeBody(answer, "write", check);
  if (error !== undefined) throw thrownAs(fate, error);
  return answer;
}

function withKey(request: HttpRequest, header: string | undefined, key: string): HttpRequest {
  return header === undefined ? request : { ...request, headers: { ...request.headers, [header]: key } };
}

/** One key for the same records in the same states and order. */
function batchKey(keys: readonly string[]): string {
  const hash = createHash("sha256").update(JSON.stringify(keys)).digest();
  hash[6] = (itemAt(hash, 6) & 0x0f) | 0x80;
  hash[8] = (itemAt(hash, 8) & 0x3f) | 0x80;
  return hash.toString("hex", 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** The context of one record of a batch. */
class OneRecord implements RecordContext {
  readonly attempt: number;
  readonly run: ImportContext["run"];
  readonly flow: ImportContext["flow"];
  readonly log: ImportContext["log"];
  readonly #batch: ImportContext;
  readonly #index: number;

  constructor(batch: ImportContext, index: number) {
    this.attempt = batch.attempt;
    this.run = batch.run;
    this.flow = batch.flow;
    this.log = batch.log;
    this.#batch = batch;
    this.#index = index;
  }

  get key(): string {
    return itemAt(this.#batch.keys, this.#index);
  }

  get idempotencyKey(): string {
    return itemAt(this.#batch.idempotencyKeys, this.#index);
  }

  get signal(): AbortSignal {
    return this.#batch.signal;
  }
}
