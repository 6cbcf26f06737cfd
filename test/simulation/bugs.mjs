// Bugs for `prove.mjs` to put into copies of the source, one at a time. An edit is a text that stands exactly once in
// the file, and what stands there instead; if the text is gone, proving stops and says so.

const executeRun = "src/run/execute-run.ts";
const writeBatch = "src/run/write-batch.ts";
const offerPage = "src/run/import-page.ts";
const runner = "src/run/runner.ts";
const memory = "src/storage/memory/memory-storage.ts";
const sweep = "src/scheduler/maintenance.ts";
const localExecutor = "src/executor/local-executor.ts";

/** `also`: conformance cases that should see it, too. */
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
  },
  {
    name: "results are taken without counting them",
    edits: [[writeBatch, "  if (results.length !== batch.records.length)\n", "  if (results.length < 0)\n"]],
  },
  {
    name: "imports share records that one of them can change",
    edits: [
      [
        "src/model/page.ts",
        "  Object.freeze(record);\n  for (const key in record)",
        "  return record;\n  for (const key in record)",
      ],
    ],
  },
  {
    name: "trouble at one import sends the page to all of them again",
    edits: [
      [
        executeRun,
        "    const ended = await Promise.allSettled(parts);\n",
        `    let ended = await Promise.allSettled(parts);
    if (ended.some((part) => part.status === "fulfilled" && part.value.settlement.troubles.length > 0))
      ended = await Promise.allSettled(this.#destinations.map((to) => this.#offer(page, to)));
`,
      ],
    ],
  },
  {
    name: "p-queue's own signal frees a place while its run goes on",
    edits: [
      [
        localExecutor,
        "      void queue.add(() => this.#call(flowId, queue));\n",
        "      void queue.add(() => this.#call(flowId, queue), slotOf(flowId)).catch(() => undefined);\n",
      ],
      [
        localExecutor,
        "      else await this.#call(flowId, queue);\n    });\n",
        "      else await this.#call(flowId, queue);\n    }, slotOf(flowId)).catch(() => undefined);\n",
      ],
      [
        localExecutor,
        'import PQueue from "p-queue";\n',
        `import PQueue from "p-queue";
const slots = new Map<string, AbortController>();
export const freeSlot = (flowId: string) => slots.get(flowId)?.abort();
const slotOf = (flowId: string) => {
  const slot = new AbortController();
  slots.set(flowId, slot);
  return { signal: slot.signal };
};
`,
      ],
      [
        runner,
        "    running.abort.abort(new Error(abortMessages[reason]));\n",
        "    running.abort.abort(new Error(abortMessages[reason]));\n    freeSlot(running.run._flowId);\n",
      ],
      [
        runner,
        "import { type RunLimits,",
        'import { freeSlot } from "../executor/local-executor.ts";\nimport { type RunLimits,',
      ],
    ],
  },
  {
    name: "the lease's token fences nothing",
    also: "storage",
    edits: [
      [
        memory,
        "    return entry?.token === hold.token && this.#active.has(entry) ? entry : undefined;\n",
        "    return entry !== undefined && this.#active.has(entry) ? entry : undefined;\n",
      ],
      [
        memory,
        "    if (entry?.token !== hold.token) return undefined;\n    const lane",
        "    if (entry === undefined) return undefined;\n    const lane",
      ],
    ],
  },
  {
    name: "a run can be ended by who lost its lease",
    also: "storage",
    edits: [
      [
        memory,
        "    if (entry?.token !== hold.token) return undefined;\n    const lane",
        "    if (entry === undefined) return undefined;\n    const lane",
      ],
    ],
  },
  {
    name: "two runs of a flow can be taken at once",
    also: "storage",
    edits: [
      [
        memory,
        "    if (lane.active !== undefined)\n      return lane.active.token === lease.token ? this.#taken(lane.active, flow) : undefined;\n",
        "    if (lane.active?.token === lease.token) return this.#taken(lane.active, flow);\n",
      ],
    ],
  },
  {
    name: "leases are taken back before they have run out",
    also: "storage",
    edits: [[memory, ".filter(({ until }) => until <= rule.now)", ""]],
  },
  {
    name: "leases are never renewed",
    edits: [
      [runner, "    if (this.#cancelRenewal !== undefined || this.#running.size === 0) return;\n", "    return;\n"],
    ],
  },
  {
    name: "a run whose process died is never taken back",
    edits: [[sweep, "    await this.#takeBack();\n", ""]],
  },
  {
    name: "a waiting flow nobody was woken for is never found",
    edits: [[sweep, "      (_flowId) => told.waiting(_flowId),\n", "      () => undefined,\n"]],
  },
  {
    name: "a process does not hear that another one changed a flow it listens for",
    edits: [[sweep, "    told.swept();\n", ""]],
  },
  {
    name: "a run that was taken back goes to the end of the line",
    also: "storage",
    edits: [[memory, "    lane.waiting.unshift(entry);\n", "    lane.waiting.push(entry);\n"]],
  },
  {
    name: "a run that was taken back has forgotten how far it was",
    also: "storage",
    edits: [
      [memory, "    entry.position = position;\n    entry.token = undefined;\n", "    entry.token = undefined;\n"],
    ],
  },
  {
    name: "a resumed run reads from the flow's checkpoint instead of its own",
    edits: [
      [
        executeRun,
        "    const stored = this.#position.checkpoint ?? taken.checkpoint;\n",
        "    const stored = taken.checkpoint;\n",
      ],
    ],
  },
  {
    name: "keys count pages from the resume instead of from the beginning",
    edits: [[executeRun, "{ pagesBefore: this.#position.pages, freeze", "{ pagesBefore: 0, freeze"]],
  },
  {
    name: "an event id that was seen before is taken in again",
    also: "storage",
    edits: [["src/storage/memory/memory-inbox.ts", "    if (this.#seen.has(id)) return false;\n", ""]],
  },
  {
    name: "a commit empties the inbox beyond what its run has read",
    also: "storage",
    edits: [[memory, "removeThrough(Number(page.inboxThrough))", "removeThrough(Infinity)"]],
  },
  {
    name: "a due time makes a run in each process that sees it",
    also: "storage",
    edits: [[memory, " || flow.nextRunAt !== isoOf(tick.dueAt)) return", ") return"]],
  },
  {
    name: "a due time that finds its flow running is folded into the running run",
    also: "storage",
    edits: [
      [
        memory,
        '    const waiting = lane.waiting.findLast(({ run }) => run.trigger === "schedule" || run.trigger === "catch-up");\n',
        "    const waiting = lane.active ?? lane.waiting[0];\n",
      ],
    ],
  },
  {
    name: "records are dropped when their attempts are spent",
    edits: [
      [writeBatch, "!isAborted(to)) return [...troubles, ...sorted.again];\n", "!isAborted(to)) return troubles;\n"],
    ],
  },
  {
    name: "failures are counted, but not in the page's commit",
    edits: [[executeRun, "      failures,\n      delivered:", "      failures: [],\n      delivered:"]],
  },
  {
    name: "a failure stays open after a retry delivered it",
    also: "storage",
    edits: [
      [
        memory,
        "      if (entry !== undefined) this.#forgetFailure(entry);\n    }\n    if (page.inboxThrough",
        "    }\n    if (page.inboxThrough",
      ],
    ],
  },
  {
    name: "failures take the place their record has after filter and map",
    edits: [[offerPage, "places?.[trouble.index] ?? trouble.index", "trouble.index"]],
  },
  {
    name: "a batch that is rejected condemns all of its records",
    edits: [
      [
        writeBatch,
        'answer.kind === "rejected" && open.batch.records.length > 1',
        'answer.kind === "rejected" && open.batch.records.length > 1_000',
      ],
    ],
  },
  {
    name: "an unknown outcome is tried again though that is not harmless",
    edits: [
      [
        writeBatch,
        "  if (to.import.idempotent) return { ...certain, again",
        "  if (to.attempts) return { ...certain, again",
      ],
    ],
  },
  {
    name: "what find has found is sent again, and the rest is not",
    edits: [
      [
        writeBatch,
        "found[index] === undefined);\n  return {\n    ...certain",
        "found[index] !== undefined);\n  return {\n    ...certain",
      ],
    ],
  },
  {
    name: "a page cut short by an abort is left, though part of it may not be sent again",
    edits: [
      [
        executeRun,
        "  return touched ? parts : undefined;\n",
        "  return touched && parts.length < 0 ? parts : undefined;\n",
      ],
    ],
  },
  {
    name: "a destination that asks for a pause is asked again at once",
    edits: [[writeBatch, "delayAfter(attempt, to.backoff, sorted.afterMs)", "delayAfter(attempt, to.backoff)"]],
  },
  {
    name: "one attempt more than allowed",
    edits: [[writeBatch, "if (attempt >= to.maxAttempts &&", "if (attempt > to.maxAttempts &&"]],
  },
  {
    name: "an outage is stored record by record, whatever the budget says",
    edits: [
      [
        executeRun,
        "this.#isAborted() ? undefined : this.#overdrawn(settled)",
        "this.#isAborted() || settled.length > 0 ? undefined : this.#overdrawn(settled)",
      ],
    ],
  },
  {
    name: "an unordered export's checkpoint moves with each page",
    edits: [
      [
        executeRun,
        '    const moved = page.failures === undefined && this.#job.export.order === "ordered" && this.#movesFlow();\n',
        "    const moved = page.failures === undefined && this.#movesFlow();\n",
      ],
    ],
  },
  {
    name: "a sample run moves the checkpoint",
    edits: [[executeRun, "    return limit === undefined && trigger !==", "    return limit !== -1 && trigger !=="]],
  },
  {
    name: "a retry of failures moves the checkpoint",
    edits: [
      [
        executeRun,
        '    const moved = page.failures === undefined && this.#job.export.order === "ordered" && this.#movesFlow();\n',
        '    const moved = this.#job.export.order === "ordered" && this.#movesFlow();\n',
      ],
      [executeRun, ' && trigger !== "retry" && trigger', " && trigger"],
    ],
  },
  {
    name: "a run that is aborted ends as completed",
    edits: [
      [
        executeRun,
        '        return this.#isAborted() ? { end: "aborted", run: this.#run } : this.#completed();\n',
        "        return this.#completed();\n",
      ],
    ],
  },
  {
    name: "an import never hears that its run is aborted",
    edits: [[writeBatch, "    const abort = to.attempts.take();\n", "    const abort = new AbortController();\n"]],
  },
  {
    name: "the export is asked for pages after the abort",
    edits: [
      [
        "src/run/read-ahead.ts",
        "    if (this.#ended || this.#signal.aborted) return undefined;\n",
        "    if (this.#ended) return undefined;\n",
      ],
    ],
  },
  {
    name: "a run that is taken while the scheduler stops is not aborted",
    edits: [[runner, "    if (claim.reason !== undefined) this.abort(hold._runId, claim.reason);\n", ""]],
  },
  {
    name: "a commit whose answer got lost cannot be made again",
    also: "storage",
    edits: [[memory, "    if (page.ordinal === entry.run.numPagesProcessed) return entry.run;\n", ""]],
  },
  {
    name: "nobody handles a failure in the background",
    edits: [
      [
        runner,
        '    } catch (error) {\n      this.#parts.told.trouble(error, "renewing leases");\n    }\n',
        "    } finally {\n    }\n",
      ],
    ],
  },
  {
    name: "the timer of a write that has answered is left behind",
    edits: [[writeBatch, "      cancelTimer();\n      to.attempts", "      to.attempts"]],
  },
];
