import type { SqlValue } from "../../sql/database.ts";
import type { StatementSets, StatementsOfMany } from "../batching.ts";
import { type JoinedStatement, arrayOf } from "../joined-statement.ts";
import type { Messages, SentStatement } from "./messages.ts";
import type { SpelledStatement } from "../spelling.ts";

/** What statements of many transactions need. */
export interface PostgresStatementsParts {
  readonly messages: Messages;
  readonly spelled: (sql: string) => SpelledStatement;
  /** The statement for many sets of values, or what asks for it within the transaction; undefined: there is none. */
  readonly joined: (sql: string) => KnownJoin | (() => Promise<KnownJoin>);
}

/** @see joinedStatement */
export type KnownJoin = (JoinedStatement & SpelledStatement) | undefined;

/** The statements of transactions that are executed together on one connection. */
export class PostgresStatements implements StatementsOfMany {
  readonly #parts: PostgresStatementsParts;
  #putOff: Step[] = [];

  constructor(parts: PostgresStatementsParts) {
    this.#parts = parts;
  }

  putOff(change: StatementSets): void {
    this.#putOff.push({ asked: change });
  }

  lockFlows(_flowIds: readonly string[], needed: readonly string[]): void {
    const check = ([rows = []]: RowsOfSets) => {
      const locked = new Set((rows as readonly { readonly id: string }[]).map(({ id }) => id));
      if (!needed.every((id) => locked.has(id))) throw new Error("a flow is gone");
    };
    this.#putOff.push({ asked: { sql: lockFlows, sets: [[arrayOf(_flowIds)]] }, check });
  }

  async ask(all: readonly StatementSets[]): Promise<readonly RowsOfSets[]> {
    const steps = this.#takeSteps(all);
    const plans = await this.#plansOf(steps);
    const rows = await this.#parts.messages.send(plans.flatMap(({ sent }) => sent));
    return checked(steps, plans, rows).slice(steps.length - all.length);
  }

  /** Executes what is put off, and commits. */
  async commit(): Promise<void> {
    const plans = await this.#plansOf(this.#takeSteps([]));
    await this.#parts.messages.commit(plans.flatMap(({ sent }) => sent));
  }

  #takeSteps(all: readonly StatementSets[]): readonly Step[] {
    const steps = [...this.#putOff, ...all.map((asked) => ({ asked }))];
    this.#putOff = [];
    return steps;
  }

  async #plansOf(steps: readonly Step[]): Promise<readonly Plan[]> {
    const plans: Plan[] = [];
    for (const { asked } of steps) plans.push(await this.#planOf(asked));
    return plans;
  }

  async #planOf({ sql, sets }: StatementSets): Promise<Plan> {
    const { joined, messages, spelled } = this.#parts;
    if (sets.length > 1) {
      let known = joined(sql);
      if (typeof known === "function") {
        await messages.send([]);
        known = await known();
      }
      if (known !== undefined) return planOfMany(known, sets);
    }
    const statement = spelled(sql);
    return { sent: sets.map((values) => ({ statement, values })), rowsOf: (rows) => rows };
  }
}

/** Of each set of values, the rows. */
type RowsOfSets = readonly (readonly unknown[])[];

interface Step {
  readonly asked: StatementSets;
  /** Looks at what it returned. */
  readonly check?: (rows: RowsOfSets) => void;
}

/** What is executed for a step, and what that says of it. */
interface Plan {
  readonly sent: readonly SentStatement[];
  readonly rowsOf: (rows: RowsOfSets) => RowsOfSets;
}

/** Locks the flows of its only value, an array, in the order that all locks keep. */
const lockFlows = `select id from poundlock_flows where id = any (?::text::text[]) order by id for no key update`;

function planOfMany(joined: JoinedStatement & SpelledStatement, sets: readonly (readonly SqlValue[])[]): Plan {
  const sent = [{ statement: joined, values: joined.valuesOf(sets) }];
  return { sent, rowsOf: ([rows = []]) => joined.rowsOf(rows, sets) };
}

function checked(steps: readonly Step[], plans: readonly Plan[], rows: RowsOfSets): readonly RowsOfSets[] {
  let from = 0;
  return plans.map(({ sent, rowsOf }, index) => {
    const found = rowsOf(rows.slice(from, (from += sent.length)));
    steps[index]?.check?.(found);
    return found;
  });
}
