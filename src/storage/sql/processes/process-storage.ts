import { StorageFailedError, isPoundlockError } from "../../../errors.ts";
import { freezeRecord } from "../../../model/record/copy.ts";
import type {
  ChangeStorage,
  Duty,
  DutyClaim,
  DutyStorage,
  ProcessStorage,
  WakeStorage,
  WorkerProcess,
} from "../../storage.ts";
import type { SqlDatabase } from "../database.ts";
import { claimDuty, releaseDuty } from "./duties.ts";
import { type Signals, topicsOf } from "./signals.ts";
import { keepProcess, processesSince, removeProcess } from "./entries.ts";

/** What an adapter of a database adds for processes to find each other's work. */
export interface SharedParts {
  readonly wakes: WakeStorage;
  readonly changes: ChangeStorage & Signals;
}

/** What processes share in an SQL database beside the flows. */
export class SqlProcessStorage implements DutyStorage, ProcessStorage {
  readonly wakes: WakeStorage;
  readonly changes: ChangeStorage;
  readonly #database: SqlDatabase;
  readonly #signals: Signals;

  constructor(database: SqlDatabase, { changes, wakes }: SharedParts) {
    this.wakes = wakes;
    this.changes = changes;
    this.#database = database;
    this.#signals = changes;
  }

  /** Says that a call of a method has been carried out, to whom it may concern. */
  protected carriedOut(operation: string): void {
    for (const topic of topicsOf.get(operation) ?? []) this.#signals.ring(topic);
  }

  claimDuty(claim: DutyClaim): Promise<boolean> {
    const transaction = claimDuty(claim);
    return guarded("claimDuty", () => this.#database.runTransaction(transaction));
  }

  releaseDuty(duty: Duty): Promise<void> {
    const transaction = releaseDuty(duty);
    return guarded("releaseDuty", () => this.#database.runTransaction(transaction));
  }

  keepProcess(process: WorkerProcess, forgetBefore: number): Promise<void> {
    const transaction = keepProcess(process, forgetBefore);
    return guarded("keepProcess", () => this.#database.runTransaction(transaction));
  }

  async listProcesses(since: number): Promise<readonly WorkerProcess[]> {
    const rows = await guarded("listProcesses", () => this.#database.query(processesSince(since)));
    return rows
      .map((row) => freezeRecord(JSON.parse((row as { readonly doc: string }).doc) as WorkerProcess))
      .sort((one, other) => (one._id < other._id ? -1 : 1));
  }

  removeProcess(_id: string): Promise<void> {
    return guarded("removeProcess", () => this.#database.runTransaction(removeProcess(_id)));
  }
}

/** Does what is asked, and makes an error of the database `storage_failed`. */
export async function guarded<T>(operation: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw isPoundlockError(error) ? error : new StorageFailedError(operation, error);
  }
}
