import assert from "node:assert/strict";
import type { Storage, StorageCapabilities } from "../../storage/storage.ts";
import { commitStorageCases } from "./commit-cases.ts";
import { failureStorageCases } from "./failures/failure-cases.ts";
import { causeStorageCases } from "./failures/cause-cases.ts";
import { deletionStorageCases } from "./deletion-cases.ts";
import { flowStorageCases } from "./flow-cases.ts";
import { inboxImportStorageCases } from "./inbox-import-cases.ts";
import { inboxStorageCases } from "./inbox-cases.ts";
import { leaseStorageCases } from "./lease-cases.ts";
import { endingStorageCases } from "./ending-cases.ts";
import { keyStorageCases } from "./failures/key-cases.ts";
import { placeStorageCases } from "./place-cases.ts";
import { changeStorageCases } from "./processes/change-cases.ts";
import { wakeStorageCases } from "./processes/wake-cases.ts";
import { dutyStorageCases } from "./processes/duty-cases.ts";
import { queueStorageCases } from "./queue-cases.ts";
import { runStorageCases } from "./run-cases.ts";
import { overviewStorageCases } from "./totals/overview-cases.ts";
import { searchStorageCases } from "./totals/search-cases.ts";
import { statisticsStorageCases } from "./totals/statistics-cases.ts";
import type { StorageCase, StorageHarness } from "./harness.ts";
import { type Candidate, type TestCases, chooseCases } from "../test-case.ts";
import { durableStorageCases, sharedStorageCases, wholeStorageCases } from "./whole-cases.ts";

/**
 * Opens the storage under test at `place`: a name of letters, digits and underscores, new for each case, to be used as
 * a file, a schema or a prefix. A place that was never opened is empty. Opened again, one after the other if the
 * storage is durable, at once if it is shared, it holds the same data. A storage that is neither may ignore it.
 */
export type OpenStorage = (place: string) => Promise<Storage> | Storage;

/**
 * The promises of the {@link Storage} contract, one case each. Those that take an ability the storage does not have
 * are in `skipped`. Every case opens a place of its own and closes what it opened, so that all may run side by side.
 *
 * What no case can show: that a durable storage outlives a process which is killed, and not closed.
 *
 * @param capabilities what the storage under test says of itself; absent ones are false
 * @example
 * for (const { title, run } of storageCases((place) => openMyStorage(`${folder}/${place}.db`), { durable: true }))
 *   test(title, run);
 */
export function storageCases(open: OpenStorage, capabilities: Partial<TestedCapabilities> = {}): TestCases {
  const { durable = false, shared = false, wakes = false, changes = false } = capabilities;
  const has: TestedCapabilities = { durable, shared, wakes, changes };
  return chooseCases([capabilitiesCase(open, has), ...cases.map((each) => candidateOf(each, open, has))]);
}

/** What a storage can do beyond the contract, and the optional parts that it has. */
export interface TestedCapabilities extends StorageCapabilities {
  /** Whether it has `wakes`. */
  readonly wakes: boolean;
  /** Whether it has `changes`. */
  readonly changes: boolean;
}

const cases: readonly StorageCase[] = [
  ...wholeStorageCases,
  ...flowStorageCases,
  ...deletionStorageCases,
  ...queueStorageCases,
  ...runStorageCases,
  ...leaseStorageCases,
  ...commitStorageCases,
  ...placeStorageCases,
  ...endingStorageCases,
  ...failureStorageCases,
  ...keyStorageCases,
  ...causeStorageCases,
  ...overviewStorageCases,
  ...searchStorageCases,
  ...statisticsStorageCases,
  ...inboxStorageCases,
  ...inboxImportStorageCases,
  ...dutyStorageCases,
  ...wakeStorageCases,
  ...changeStorageCases,
  ...durableStorageCases,
  ...sharedStorageCases,
];

const nothing: TestedCapabilities = { durable: false, shared: false, wakes: false, changes: false };

// Without this one, cases would be left out because their author forgot to ask for them.
function capabilitiesCase(open: OpenStorage, has: TestedCapabilities): Candidate {
  return {
    title: "it has the capabilities that it is tested for, and says so",
    run: () =>
      withHarness(open, nothing, async ({ storage }) => {
        const parts = { wakes: storage.wakes !== undefined, changes: storage.changes !== undefined };
        assert.deepEqual({ ...storage.capabilities, ...parts }, has);
      }),
  };
}

function candidateOf({ title, run, needs }: StorageCase, open: OpenStorage, has: TestedCapabilities): Candidate {
  const lack = needs === "wakes" || needs === "changes" ? `has no ${needs}` : `is not ${needs}`;
  const skip = needs === undefined || has[needs] ? undefined : `the storage ${lack}`;
  return { title, skip, run: () => withHarness(open, has, run) };
}

async function withHarness(open: OpenStorage, has: TestedCapabilities, run: StorageCase["run"]): Promise<void> {
  const place = `case_${crypto.randomUUID().replaceAll("-", "")}`;
  const opened: Storage[] = [];
  const openOne = async () => {
    const storage = await open(place);
    opened.push(storage);
    return storage;
  };
  const closeAll = () => Promise.all(opened.splice(0).map((storage) => storage.close()));
  try {
    const storage = await openOne();
    const other = has.shared ? await openOne() : storage;
    const harness: StorageHarness = { storage, other, reopen: () => closeAll().then(openOne) };
    await run(harness);
  } finally {
    await closeAll();
  }
}
