// Bugs for `prove.mjs` to put into copies of the source, one at a time, as in ../simulation/bugs.mjs: an edit is a text
// that stands exactly once in the file, and what stands there instead.

const executeRun = "src/run/execute-run.ts";
const runner = "src/run/runner.ts";
const intake = "src/scheduler/intake.ts";
const leases = "src/storage/sql/leases.ts";
const inbox = "src/storage/sql/inbox.ts";
const sweep = "src/scheduler/maintenance.ts";
const flows = "src/storage/sql/flows.ts";
const runs = "src/storage/sql/runs.ts";
const failures = "src/storage/sql/failures.ts";
const schema = "src/storage/sql/schema.ts";
const sqlite = "src/storage/sqlite/database.ts";

const crash = "test/faults/crash-points.test.ts";
const freeze = "test/faults/freeze.test.ts";
const soak = "test/faults/soak.test.ts";
const storageFaults = "test/faults/storage-faults.test.ts";
const storageFull = "test/faults/storage-full.test.ts";
const cases = "test/storage/sqlite/sqlite-storage.test.ts";
const model = "test/storage/storage-model.test.ts";
const database = "test/storage/sqlite/database.test.ts";
const opening = "test/storage/sqlite/open.test.ts";
const invariants = "test/storage/sql/schema.test.ts";
const plans = "test/storage/sql/plans.test.ts";

/** What the tests need beside the source. */
export const parts = ["test/faults", "test/storage", "test/simulation/chance.ts"];

/** `file`: the tests that have to see it. `only`: the part of their titles that is enough, if a bug makes others hang. */
export const bugs = [
  {
    name: "checkpoint committed before the page is written",
    edits: [
      [
        executeRun,
        "    const parts = await this.#offerToAll(page);\n",
        `    const all = { numSuccess: page.records.length, numIgnore: 0, numError: 0 };
    const early = Object.fromEntries(this.#destinations.map(({ _importId }) => [_importId, all]));
    await this.#commit(page, [], early, generated);
    const parts = await this.#offerToAll(page);
`,
      ],
      [executeRun, "    await this.#commit(page, settled, counts, generated);\n", "    void counts;\n"],
    ],
    file: crash,
  },
  {
    name: "the same, seen by kills at random moments",
    edits: [
      [
        executeRun,
        "    const parts = await this.#offerToAll(page);\n",
        `    const all = { numSuccess: page.records.length, numIgnore: 0, numError: 0 };
    const early = Object.fromEntries(this.#destinations.map(({ _importId }) => [_importId, all]));
    await this.#commit(page, [], early, generated);
    const parts = await this.#offerToAll(page);
`,
      ],
      [executeRun, "    await this.#commit(page, settled, counts, generated);\n", "    void counts;\n"],
    ],
    file: soak,
    only: "random",
  },
  {
    name: "each statement of a transaction is committed by itself",
    edits: [
      [
        sqlite,
        "        prepared.run(...values);\n",
        '        prepared.run(...values);\n        this.#prepared("commit").run();\n        this.#prepared("begin immediate").run();\n',
      ],
    ],
    file: crash,
    only: "mid",
  },
  {
    name: "a commit is answered before its transaction has ended",
    edits: [
      [
        sqlite,
        "        prepared.run(...values);\n        step = script.next([]);\n",
        "        setTimeout(() => prepared.run(...values));\n        step = script.next([]);\n",
      ],
    ],
    file: crash,
    only: "committed",
  },
  {
    name: "a commit asks for no token",
    edits: [
      [
        leases,
        "`select seq, flow_id, orphaned, doc from poundlock_runs where id = ? and token = ? and stage = 1`",
        "`select seq, flow_id, orphaned, doc from poundlock_runs where id = ? and ? is not null and stage = 1`",
      ],
    ],
    file: freeze,
  },
  {
    name: "the end of a run asks for no token",
    edits: [
      [
        leases,
        "        from poundlock_runs r where id = ? and token = ?`,\n",
        "        from poundlock_runs r where id = ? and ? is not null`,\n",
      ],
    ],
    file: freeze,
  },
  {
    name: "a run that is taken over has the token it had",
    edits: [[runner, "token: `${this.#id}/${++this.#claimed}`", "token: `run of ${_flowId}`"]],
    file: freeze,
  },
  {
    name: "nobody is told that a lease was lost",
    edits: [[runner, "    this.#parts.told.lost(running.run);\n", ""]],
    file: freeze,
    only: "mapped",
  },
  {
    name: "a run that was taken back begins again",
    edits: [
      [leases, '    ...optional("position", positionOf(row.position)),\n', ""],
      [leases, '    ...optional("checkpoint", checkpointOf(row.value, row.version)),\n', ""],
    ],
    file: crash,
    only: "orders",
  },
  {
    name: "a crash is not counted",
    edits: [[leases, "crashes: before.crashes + 1", "crashes: before.crashes"]],
    file: crash,
  },
  {
    name: "a run is committed without its checkpoint",
    edits: [
      [
        leases,
        "      if (checkpoint !== undefined) yield* keepCheckpoint(row.flow_id, checkpoint.text, checkpoint.version);\n",
        "",
      ],
    ],
    file: crash,
    only: "orders",
  },
  {
    name: "the inbox is emptied one page further than what was committed",
    edits: [
      [
        leases,
        "      if (inboxThrough !== undefined) yield* settleInbox(row.flow_id, Number(inboxThrough));\n",
        "      if (inboxThrough !== undefined) yield* settleInbox(row.flow_id, Number(inboxThrough) + 1);\n",
      ],
    ],
    file: crash,
    only: "events",
  },
  {
    name: "an event is accepted before it is kept",
    edits: [
      [
        intake,
        "    const appended = await storage.appendInbox(",
        "    void storage.appendInbox({ _id: newId(), _exportId, records: copies, ...ids, at, starts }, { maxInboxPages, dedupeAfter: at - dedupeWindowMs });\n    if (copies.length > 0) return { accepted: copies.length, duplicates: 0 };\n    const appended = await storage.appendInbox(",
      ],
    ],
    file: soak,
    only: "event",
  },
  {
    name: "an event id that was seen before is taken in again",
    edits: [[inbox, "where poundlock_events.seen_at < ?\n", "where poundlock_events.seen_at <> ?\n"]],
    file: crash,
    only: "taking records in",
  },
  {
    name: "two runs of a flow can be taken at once, and the database lets them",
    edits: [
      [
        leases,
        "          (select a.seq from poundlock_runs a where a.flow_id = f.id and a.stage = 1),\n",
        "          (select a.seq from poundlock_runs a where a.flow_id = f.id and a.stage = 9),\n",
      ],
      [schema, "create unique index poundlock_runs_active", "create index poundlock_runs_active"],
    ],
    file: soak,
    only: "two processes",
  },
  {
    name: "two runs of a flow can be taken at once, but the database does not let them",
    edits: [
      [
        leases,
        "          (select a.seq from poundlock_runs a where a.flow_id = f.id and a.stage = 1),\n",
        "          (select a.seq from poundlock_runs a where a.flow_id = f.id and a.stage = 9),\n",
      ],
    ],
    file: soak,
    only: "two processes",
  },
  {
    name: "a call does not wait for the transaction of another process",
    edits: [[sqlite, "if (!isBusy(error) || clock.now() >= until) throw error;", "throw error;"]],
    file: soak,
    only: "two processes",
  },
  {
    name: "a storage call that fails is not made again",
    edits: [[runner, "const storageAttempts = 3;", "const storageAttempts = 1;"]],
    file: storageFaults,
  },
  {
    name: "a storage that fails ends the run",
    edits: [[executeRun, ' || error.code === "storage_failed"', ""]],
    file: storageFaults,
  },
  {
    name: "a lease is renewed once, and never again",
    edits: [
      [
        runner,
        "    // Planned before this one has its answer: an answer that never comes would cost every lease.\n    this.#planRenewal();\n",
        "",
      ],
    ],
    file: storageFaults,
  },
  {
    name: "a run whose process is gone is never taken back",
    edits: [[sweep, "    await this.#takeBack();\n", ""]],
    file: storageFaults,
  },
  {
    name: "a flow whose wake-up got lost is never found",
    edits: [[sweep, "(_flowId) => told.waiting(_flowId),", "() => undefined,"]],
    file: storageFaults,
  },
  {
    name: "a commit whose answer got lost cannot be made again",
    edits: [[leases, "    if (ordinal === before.numPagesProcessed) return before;\n", ""]],
    file: storageFaults,
    only: "SqliteStorage",
  },
  {
    name: "a run whose taker did not hear of it cannot be taken by it again",
    edits: [[leases, "row.token === token ? takenOf(runOf(row.run_doc), row) : undefined;", "undefined;"]],
    file: storageFaults,
    only: "SqliteStorage",
  },
  {
    name: "failures are counted, but not in the commit",
    edits: [[leases, "      yield* keepFailures(failures);\n", ""]],
    file: storageFaults,
    only: "SqliteStorage",
  },
  {
    name: "what was done before the disk was full is kept",
    edits: [[sqlite, 'this.#prepared("rollback").run();', 'this.#prepared("commit").run();']],
    file: storageFull,
  },
  {
    name: "one that fails takes those with it that came in the same turn",
    edits: [[sqlite, "await this.#writeAlone(entry);", "entry.reject(error);"]],
    file: database,
  },
  {
    name: "an inbox takes in more pages than it may",
    edits: [[inbox, "row.known === null && row.inbox_pages >= maxInboxPages", "row.inbox_pages < 0"]],
    file: cases,
  },
  {
    name: "runs that have not ended are pruned",
    edits: [[runs, "h.runs > ? and r.stage = 2 and r.seq", "h.runs > ? and r.seq"]],
    file: cases,
  },
  {
    name: "a failure that fails again stays with the run it came from",
    edits: [[failures, "set run_id = excluded.run_id, integration_id", "set integration_id"]],
    file: cases,
  },
  {
    name: "open failures outlive their flow",
    edits: [
      [flows, "    yield* change(`delete from poundlock_failures where flow_id = ? and status = 'open'`, _id);\n", ""],
    ],
    file: model,
  },
  {
    name: "the database lets two scheduled runs wait to be folded into",
    edits: [[schema, "create unique index poundlock_runs_buffered", "create index poundlock_runs_buffered"]],
    file: invariants,
  },
  {
    name: "a file of a newer version is opened",
    edits: [[schema, "  if (found <= schemaVersion) return found;\n", "  if (found <= Infinity) return found;\n"]],
    file: opening,
  },
  {
    name: "the runs that wait are looked for among all there ever were",
    edits: [
      [schema, "    `create index poundlock_runs_waiting on poundlock_runs (flow_id, seq) where stage = 0`,\n", ""],
    ],
    file: plans,
  },
];
