import { StorageFailedError, isPoundlockError } from "../../../errors.ts";
import { freezeRecord } from "../../../model/record/copy.ts";
import type { Duty, DutyClaim, DutyStorage, ProcessStorage, WakeStorage, WorkerProcess } from "../../storage.ts";
import type { SqlDatabase } from "../database.ts";
import { claimDuty, releaseDuty } from "./duties.ts";
import { keepProcess, processesSince, removeProcess } from "./entries.ts";

/** What processes share in an SQL database beside the flows. */
export class SqlProcessStorage implements DutyStorage, ProcessStorage {
  readonly wakes: WakeStorage;
  readonly #database: SqlDatabase;

  constructor(database: SqlDatabase, wakes: WakeStorage) {
    this.wakes = wakes;
    this.#database = database;
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
