import type { Clock } from "../../clock.ts";
import type { SqlValue, Statement, Transaction, TransactionBody } from "../sql/database.ts";
import { lockClause, lockOfFlow } from "../sql/locks.ts";
import { itemAt } from "../../model/item-at.ts";

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
  /** Whether what failed with this error may have been committed all the same. */
  mayBeDone(error: unknown): boolean;
}

/** One statement, for each of its sets of values. */
export interface StatementSets {
  readonly sql: string;
  readonly sets: readonly (readonly SqlValue[])[];
}

/** The statements of transactions that are executed together. */
export interface StatementsOfMany {
  /** Executes each in their order, after what is put off. The rows of each, for each set of values. */
  ask(all: readonly StatementSets[]): Promise<readonly (readonly (readonly unknown[])[])[]>;
  /** Puts a change off: it is executed, with nothing to wait for, before what is asked next or at the end. */
  putOff(change: StatementSets): void;
  /**
   * The same for a lock of these flows, in an order that all keep. What is asked with it fails if one of those that
   * are `needed` is not there.
   */
  lockFlows(_flowIds: readonly string[], needed: readonly string[]): void;
}

/**
 * Executes transactions that begin with the lock of a flow together, step by step: what several of them ask for at the same
 * step is one statement. None waits to be joined: those go together that come in the same turn of the event loop, or while
 * as many as may be are under way. Those that lock the same flow follow each other, so that each finds what the one before
 * it left, as it would alone; but they are durable with one commit, so that a flow takes in more than the disk has commits.
 */
export class Batching {
  readonly #executing: Executing;
  /** Transactions by the first value of what they begin with, such as a flow's id: of each, one at a time. */
  readonly #queues = new Map<string, Fifo<Entry>>();
  /** Queues none of whose transactions is under way. */
  readonly #ready = new Fifo<Fifo<Entry>>();
  #underWay = 0;
  #isBeginning = false;

  constructor(executing: Executing) {
    this.#executing = executing;
  }

  /** Executes a transaction, together with others if it can be. */
  async run<T>(transaction: Transaction<T>): Promise<T> {
    const first = lockedFirst(transaction());
    if (first === undefined) return this.#executing.alone(transaction);
    const key = String(first.values[0]);
    return new Promise<T>((resolve, reject) => {
      const known = this.#queues.get(key);
      const queue = known ?? new Fifo<Entry>();
      queue.add({ key, queue, first, transaction, resolve: resolve as (value: unknown) => void, reject });
      if (known !== undefined) return;
      this.#queues.set(key, queue);
      this.#ready.add(queue);
      void this.#begin();
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
    const queues = this.#ready.take(mostTogether);
    const most = Math.max(1, Math.floor(mostTogether / queues.length));
    const series = queues.map((queue) => takeSeries(queue, most));
    const left = await this.#execute(series);
    for (const entries of series) this.#finish(entries, left.includes(entries));
    this.#underWay--;
    void this.#begin();
  }

  #finish([head, ...others]: Series, isLeft: boolean): void {
    const { key, queue } = head;
    if (isLeft) for (const entry of [...others.reverse(), head]) queue.putBack(entry);
    if (queue.size === 0) this.#queues.delete(key);
    else this.#ready.add(queue);
  }

  /** Settles the entries but those of the series it returns, which have to be executed after one of the others. */
  async #execute(series: readonly Series[]): Promise<readonly Series[]> {
    try {
      const { done, left } = await this.#executing.together((statements) => inSteps(series, statements));
      for (const [entry, value] of done) entry.resolve(value);
      return left;
    } catch (error) {
      const [[only, ...more] = [], ...others] = series;
      if (only !== undefined && more.length + others.length === 0 && this.#executing.mayBeDone(error)) {
        only.reject(error);
        return [];
      }
      // Whatever it was, it concerns one of them: alone, each has its own result.
    }
    await Promise.all(series.map((entries) => this.#settleAlone(entries)));
    return [];
  }

  async #settleAlone(entries: Series): Promise<void> {
    for (const { transaction, resolve, reject } of entries)
      await this.#executing.alone(transaction).then(resolve, reject);
  }
}

/** First in, first out: removing the first ones moves few others, however many wait. */
class Fifo<T> {
  #back: T[] = [];
  /** The front of the queue in reverse. */
  #front: T[] = [];

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

  /** Removes the first ones, as many as there are. */
  take(most: number): readonly T[] {
    if (this.#front.length < most) [this.#front, this.#back] = [[...this.#back.reverse(), ...this.#front], []];
    return this.#front.splice(-most).reverse();
  }
}

interface Entry {
  readonly key: string;
  readonly queue: Fifo<Entry>;
  /** What it asks for first. */
  readonly first: Statement;
  readonly transaction: Transaction<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** Entries of one queue that lock the same: each is executed after the one before it. */
type Series = readonly [Entry, ...Entry[]];

function takeSeries(queue: Fifo<Entry>, most: number): Series {
  const [head, ...others] = queue.take(most);
  if (head === undefined) throw new RangeError("a queue without entries is not ready");
  const end = others.findIndex((entry) => !isSame(entry.first, head.first));
  if (end < 0) return [head, ...others];
  for (const entry of others.slice(end).reverse()) queue.putBack(entry);
  return [head, ...others.slice(0, end)];
}

function isSame(one: Statement, other: Statement): boolean {
  const { length } = one.values;
  return (
    one.sql === other.sql &&
    length === other.values.length &&
    one.values.every((value, index) => value === other.values[index])
  );
}

// A body has done nothing before its first statement.
function lockedFirst(body: TransactionBody<unknown>): Statement | undefined {
  const { done, value } = body.next([]);
  return done === true || value.locks !== "flows" ? undefined : value;
}

/** A series of transactions among others. */
class Member {
  readonly series: Series;
  /** Rows that the first statement of each would lock. */
  wanted: readonly LockedRow[] = [];
  /** What those have returned that are through, with the last one if all are. */
  readonly done: (readonly [Entry, unknown])[] = [];
  #body: TransactionBody<unknown>;
  #asks: Statement | undefined;

  constructor(series: Series) {
    this.series = series;
    this.#body = series[0].transaction();
    this.#take(this.#body.next([]));
  }

  /** What it asks for now; undefined: all have returned. */
  get asks(): Statement | undefined {
    return this.#asks;
  }

  /** Gives the first one what it locks first. */
  begin(): void {
    this.advance(this.wanted);
  }

  advance(rows: readonly unknown[]): void {
    this.#take(this.#body.next(rows));
    while (this.#asks === undefined) {
      const next = this.series[this.done.length];
      if (next === undefined) break;
      this.#body = next.transaction();
      this.#body.next([]);
      // It is locked already.
      this.#take(this.#body.next(this.wanted));
    }
    // What it would lock now may be another one's, or others may lock it in another order.
    if (this.#asks !== undefined && this.#asks.locks !== false) throw new Error("it locks more than at first");
  }

  #take({ done, value }: IteratorResult<Statement, unknown>): void {
    this.#asks = done === true ? undefined : value;
    const entry = this.series[this.done.length];
    if (done === true && entry !== undefined) this.done.push([entry, value]);
  }
}

/** Those that ask for the same statement, and its values for each. */
interface Asking extends StatementSets {
  readonly members: Member[];
  readonly sets: (readonly SqlValue[])[];
  readonly returnsRows: boolean;
}

interface InSteps {
  readonly done: readonly (readonly [Entry, unknown])[];
  readonly left: readonly Series[];
}

async function inSteps(all: readonly Series[], statements: StatementsOfMany): Promise<InSteps> {
  const begun = all.map((series) => new Member(series));
  const members = await lockAll(begun, statements);
  const left = begun.filter((member) => !members.includes(member)).map(({ series }) => series);
  for (
    let asking = putOffChanges(members, statements);
    asking.length > 0;
    asking = putOffChanges(members, statements)
  ) {
    const found = await statements.ask(asking);
    for (const [index, { members: asked }] of asking.entries()) advanceEach(asked, itemAt(found, index));
  }
  return { done: members.flatMap(({ done }) => done), left };
}

// Of what was found for each set of values, each gets what it has asked for.
function advanceEach(members: readonly Member[], found: readonly (readonly unknown[])[]): void {
  let from = 0;
  for (const member of members) {
    const size = member.asks?.sets?.length;
    const own = found.slice(from, (from += size ?? 1));
    member.advance(size === undefined ? itemAt(own, 0) : own);
  }
}

// What returns nothing is not waited for. What is asked then, by all that have not returned.
function putOffChanges(members: readonly Member[], statements: StatementsOfMany): readonly Asking[] {
  for (;;) {
    const asking = [...bySql(members).values()];
    const changes = asking.filter(({ returnsRows }) => !returnsRows);
    if (changes.length === 0) return asking;
    for (const change of changes) {
      statements.putOff(change);
      for (const member of change.members) member.advance([]);
    }
  }
}

// First it is seen what each would lock, then all is locked at once: no two processes wait for each other's flows. A flow
// that is to be locked itself need not be there, and one that was found for something is there, or all of them fail.
async function lockAll(members: readonly Member[], statements: StatementsOfMany): Promise<readonly Member[]> {
  const asking = [...bySql(members).values()];
  const looks = asking.filter(({ sql }) => sql !== lockOfFlow);
  const found = looks.length === 0 ? [] : await statements.ask(looks.map(withoutLock));
  for (const one of asking) {
    const rows = found[looks.indexOf(one)] ?? one.sets.map(([id]) => [{ id }]);
    for (const [index, member] of one.members.entries()) member.wanted = rows[index] as readonly LockedRow[];
  }
  const taken = new Set<string>();
  const chosen = members.filter(({ wanted }) => {
    if (wanted.some(({ id }) => taken.has(id))) return false;
    for (const { id } of wanted) taken.add(id);
    return true;
  });
  const looked = looks.flatMap((one) => one.members.flatMap(({ wanted }) => wanted.map(({ id }) => id)));
  const needed = looked.filter((id) => taken.has(id));
  statements.lockFlows([...taken], needed);
  for (const member of chosen) member.begin();
  return chosen;
}

interface LockedRow {
  readonly id: string;
}

function withoutLock({ sql, sets }: StatementSets): StatementSets {
  if (!sql.endsWith(lockClause)) throw new Error(`no lock of flows: ${sql}`);
  return { sql: sql.slice(0, -lockClause.length), sets };
}

/** Those that have not returned, by what they ask for. */
function bySql(members: readonly Member[]): ReadonlyMap<string, Asking> {
  const all = new Map<string, Asking>();
  for (const member of members) {
    if (member.asks === undefined) continue;
    const { sql, values, sets, returnsRows } = member.asks;
    const asking = all.get(sql) ?? { sql, members: [], sets: [], returnsRows };
    asking.members.push(member);
    if (sets === undefined) asking.sets.push(values);
    else for (const each of sets) asking.sets.push(each);
    all.set(sql, asking);
  }
  return all;
}
