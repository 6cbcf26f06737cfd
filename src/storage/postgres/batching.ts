import type { Clock } from "../../clock.ts";
import type { SqlValue, Statement, Transaction, TransactionBody } from "../sql/database.ts";
import { lockClause, lockOfFlow } from "../sql/locks.ts";

/** How many transactions are executed together at most. */
const mostTogether = 50;

/** How many times so many are under way at most. Each has a connection. */
const mostUnderWay = 3;

/** What executes transactions. */
export interface Executing {
  readonly clock: Clock;
  /** Executes one alone, again if it conflicts with another one. */
  alone<T>(transaction: Transaction<T>): Promise<T>;
  /** Does `work` in one transaction of the database. */
  together<T>(work: (statements: StatementsOfMany) => Promise<T>): Promise<T>;
}

/** The statements of transactions that are executed together. */
export interface StatementsOfMany {
  /** Executes a statement for each set of values. Their rows. */
  each(sql: string, sets: readonly (readonly SqlValue[])[]): Promise<readonly (readonly unknown[])[]>;
  /** Locks these flows, which are not locked yet, in an order that all keep. Those that are there. */
  lockFlows(_flowIds: readonly string[]): Promise<readonly string[]>;
}

/**
 * Executes transactions that begin with the lock of a flow together, step by step: what several of them ask for at the same
 * step is one statement. None waits to be joined: those go together that come in the same turn of the event loop, or while
 * as many as may be are under way. No two of them lock the same flow, so that each finds what it would find alone.
 */
export class Batching {
  readonly #executing: Executing;
  /** Transactions by the first value of what they begin with, such as a flow's id: of each, one at a time. */
  readonly #queues = new Map<string, Fifo<Entry>>();
  /** Keys of queues none of whose transactions is under way. */
  readonly #ready = new Fifo<string>();
  #underWay = 0;
  #isBeginning = false;

  constructor(executing: Executing) {
    this.#executing = executing;
  }

  /** Executes a transaction, together with others if it can be. */
  async run<T>(transaction: Transaction<T>): Promise<T> {
    const key = lockedFirst(transaction());
    if (key === undefined) return this.#executing.alone(transaction);
    return new Promise<T>((resolve, reject) => {
      const queue = this.#queues.get(key);
      const entry = { key, transaction, resolve: resolve as (value: unknown) => void, reject };
      if (queue !== undefined) queue.add(entry);
      else {
        this.#queues.set(key, new Fifo(entry));
        this.#ready.add(key);
        void this.#begin();
      }
    });
  }

  async #begin(): Promise<void> {
    if (this.#isBeginning || this.#underWay >= mostUnderWay || this.#ready.size === 0) return;
    this.#isBeginning = true;
    await this.#executing.clock.yieldToEventLoop();
    this.#isBeginning = false;
    while (this.#underWay < mostUnderWay && this.#ready.size > 0) void this.#runSome();
  }

  async #runSome(): Promise<void> {
    this.#underWay++;
    const entries: Entry[] = [];
    while (entries.length < mostTogether && this.#ready.size > 0) {
      const entry = this.#queues.get(this.#ready.shift() ?? "")?.shift();
      if (entry !== undefined) entries.push(entry);
    }
    const left = await this.#execute(entries);
    for (const entry of entries) this.#finish(entry, left.includes(entry));
    this.#underWay--;
    void this.#begin();
  }

  #finish(entry: Entry, isLeft: boolean): void {
    const { key } = entry;
    const queue = this.#queues.get(key);
    if (isLeft) queue?.putBack(entry);
    if (queue === undefined || queue.size === 0) this.#queues.delete(key);
    else this.#ready.add(key);
  }

  /** Settles the entries but those it returns, which have to be executed after one of the others. */
  async #execute(entries: readonly Entry[]): Promise<readonly Entry[]> {
    const [first] = entries;
    if (first === undefined) return [];
    if (entries.length === 1) {
      await this.#settleAlone(first);
      return [];
    }
    try {
      const { done, left } = await this.#executing.together((statements) => inSteps(entries, statements));
      for (const [entry, value] of done) entry.resolve(value);
      return left;
    } catch {
      // Whatever it was, it concerns one of them: alone, each has its own result.
      await Promise.all(entries.map((entry) => this.#settleAlone(entry)));
      return [];
    }
  }

  async #settleAlone({ transaction, resolve, reject }: Entry): Promise<void> {
    await this.#executing.alone(transaction).then(resolve, reject);
  }
}

/** First in, first out: removing the first one moves no other, however many wait. */
class Fifo<T> {
  #back: T[] = [];
  /** The front of the queue in reverse. */
  #front: T[] = [];

  constructor(...items: readonly T[]) {
    for (const item of items) this.add(item);
  }

  get size(): number {
    return this.#front.length + this.#back.length;
  }

  add(item: T): void {
    this.#back.push(item);
  }

  /** Makes it the first one again. */
  putBack(item: T): void {
    this.#front.push(item);
  }

  shift(): T | undefined {
    if (this.#front.length === 0) [this.#front, this.#back] = [this.#back.reverse(), []];
    return this.#front.pop();
  }
}

interface Entry {
  readonly key: string;
  readonly transaction: Transaction<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

// A body has done nothing before its first statement.
function lockedFirst(body: TransactionBody<unknown>): string | undefined {
  const { done, value } = body.next([]);
  if (done === true || value.locks !== "flows") return undefined;
  const [key] = value.values;
  return typeof key === "string" ? key : undefined;
}

interface Member {
  readonly entry: Entry;
  readonly body: TransactionBody<unknown>;
  step: IteratorResult<Statement, unknown>;
}

interface InSteps {
  readonly done: readonly (readonly [Entry, unknown])[];
  readonly left: readonly Entry[];
}

async function inSteps(entries: readonly Entry[], statements: StatementsOfMany): Promise<InSteps> {
  const begun = entries.map((entry) => memberOf(entry));
  const members = await lockAll(begun, statements);
  const left = begun.filter((member) => !members.includes(member)).map(({ entry }) => entry);
  for (let active = members; active.length > 0; active = active.filter(({ step }) => step.done !== true))
    for (const [sql, asking] of bySql(active)) await takeStep(sql, asking, statements);
  return { done: members.map(({ entry, step }) => [entry, step.value] as const), left };
}

function memberOf(entry: Entry): Member {
  const body = entry.transaction();
  return { entry, body, step: body.next([]) };
}

// First it is seen what each would lock, then all is locked at once: no two processes wait for each other's flows.
async function lockAll(members: readonly Member[], statements: StatementsOfMany): Promise<readonly Member[]> {
  const wanted = new Map<Member, readonly LockedRow[]>();
  for (const [sql, asking] of bySql(members)) {
    const sets = asking.map(valuesOf);
    const found = sql === lockOfFlow ? sets.map(([id]) => [{ id }]) : await statements.each(withoutLock(sql), sets);
    for (const [index, member] of asking.entries()) wanted.set(member, (found[index] ?? []) as readonly LockedRow[]);
  }
  const taken = new Set<string>();
  const chosen = members.filter((member) => {
    const _ids = (wanted.get(member) ?? []).map(({ id }) => id);
    if (_ids.some((id) => taken.has(id))) return false;
    for (const id of _ids) taken.add(id);
    return true;
  });
  const locked = new Set(await statements.lockFlows([...taken]));
  for (const member of chosen)
    advance(
      member,
      (wanted.get(member) ?? []).filter(({ id }) => locked.has(id)),
    );
  return chosen;
}

interface LockedRow {
  readonly id: string;
}

function withoutLock(sql: string): string {
  if (!sql.endsWith(lockClause)) throw new Error(`no lock of flows: ${sql}`);
  return sql.slice(0, -lockClause.length);
}

async function takeStep(sql: string, asking: readonly Member[], statements: StatementsOfMany): Promise<void> {
  const rows = await statements.each(sql, asking.map(valuesOf));
  for (const [index, member] of asking.entries()) advance(member, rows[index] ?? []);
}

function advance(member: Member, rows: readonly unknown[]): void {
  member.step = member.body.next(rows);
  // What it would lock now may be another one's, or others may lock it in another order.
  if (member.step.done !== true && member.step.value.locks !== false) throw new Error("it locks more than at first");
}

function bySql(members: readonly Member[]): ReadonlyMap<string, readonly Member[]> {
  const all = new Map<string, Member[]>();
  for (const member of members) {
    if (member.step.done === true) continue;
    const { sql } = member.step.value;
    const asking = all.get(sql);
    if (asking === undefined) all.set(sql, [member]);
    else asking.push(member);
  }
  return all;
}

const valuesOf = ({ step }: Member): readonly SqlValue[] => (step.done === true ? [] : step.value.values);
