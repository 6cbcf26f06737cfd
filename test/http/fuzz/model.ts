/** What a flow is to whoever knows only the contract. */
export interface ModelFlow {
  readonly _id: string;
  fields: Readonly<Record<string, unknown>>;
  /** The tags it has had, the newest last. */
  readonly tags: string[];
  /** Event ids that it has seen. */
  readonly seen: Set<string>;
  /** Pages in its inbox. */
  inbox: unknown[][];
}

/** One run. */
export interface ModelRun {
  readonly _id: string;
  readonly flow: ModelFlow;
  readonly _integrationId: unknown;
  readonly trigger: "manual" | "realtime" | "retry";
  readonly limit?: number;
  status: "queued" | "completed" | "canceled";
}

/** One failure. */
export interface ModelFailure {
  readonly flow: ModelFlow;
  /** Which of a flow's failures, in the order they were stored. */
  status: "open" | "resolved";
}

/** The registry, the waiting lines and the failures, in as few lines as can be. */
export class Model {
  flows: ModelFlow[] = [];
  /** In the order they were queued. */
  readonly runs: ModelRun[] = [];
  failures: ModelFailure[] = [];
  /** Runs go as soon as they are queued; otherwise they wait for good. */
  readonly running: boolean;
  readonly maxQueued = 4;
  readonly maxInboxPages = 3;
  /** What a run on demand reads; the second of them is refused by the picky import. */
  readonly numbers = [1, 2, 3];

  constructor(running: boolean) {
    this.running = running;
  }

  waiting(flow: ModelFlow): readonly ModelRun[] {
    return this.runs.filter((run) => run.flow === flow && run.status === "queued");
  }

  queue(run: Omit<ModelRun, "status" | "_integrationId">): void {
    const added: ModelRun = { ...run, _integrationId: run.flow.fields._integrationId, status: "queued" };
    this.runs.push(added);
    if (this.running) this.#move(added);
  }

  /** The fields of a flow have changed: true if that is so. */
  change(flow: ModelFlow, fields: Readonly<Record<string, unknown>>): boolean {
    if (text(flow.fields) === text(fields)) return false;
    flow.fields = fields;
    // An import that is removed resolves its failures.
    if (!(fields._importIds as string[]).includes("picky"))
      for (const failure of this.failures) if (failure.flow === flow) failure.status = "resolved";
    if (fields.disabled === true) this.#cancelWaiting(flow);
    return true;
  }

  delete(flow: ModelFlow): void {
    this.flows = this.flows.filter((one) => one !== flow);
    this.#cancelWaiting(flow);
    this.failures = this.failures.filter((failure) => failure.flow !== flow || failure.status === "resolved");
  }

  failuresOf(flow: ModelFlow): readonly ModelFailure[] {
    return this.failures.filter((failure) => failure.flow === flow);
  }

  /** What becomes of records that arrive: the ids of the flows that queue a run, and how many were known to all. */
  accept(
    _exportId: string,
    records: readonly unknown[],
    ids: readonly string[] | undefined,
  ):
    | "none"
    | "full"
    | { readonly accepted: number; readonly duplicates: number; readonly queued: readonly ModelFlow[] } {
    const flows = this.flows.filter(({ fields }) => fields._exportId === _exportId && fields.disabled !== true);
    if (flows.length === 0) return "none";
    if (records.length === 0) return { accepted: 0, duplicates: 0, queued: [] };
    if (flows.some(({ inbox }) => inbox.length >= this.maxInboxPages)) return "full";
    const queued: ModelFlow[] = [];
    let fewest = Infinity;
    for (const flow of flows) {
      const fresh = records.filter((_, index) => {
        const id = ids?.[index];
        if (id === undefined) return true;
        const isNew = !flow.seen.has(id);
        flow.seen.add(id);
        return isNew;
      });
      fewest = Math.min(fewest, records.length - fresh.length);
      if (fresh.length > 0) flow.inbox.push(fresh);
      const waits = this.waiting(flow).some(({ trigger }) => trigger === "realtime");
      if (!waits && flow.inbox.length > 0) queued.push(flow);
    }
    return { accepted: records.length - fewest, duplicates: fewest, queued };
  }

  #cancelWaiting(flow: ModelFlow): void {
    for (const run of this.waiting(flow)) run.status = "canceled";
  }

  #move(run: ModelRun): void {
    run.status = "completed";
    const { flow, trigger } = run;
    if (trigger === "retry") return; // what was refused is refused again, and stays
    const reads = trigger === "manual" && flow.fields._exportId === "numbers";
    const records = reads ? this.numbers.slice(0, run.limit) : flow.inbox.flat();
    if (!reads) flow.inbox = [];
    if (!(flow.fields._importIds as string[]).includes("picky")) return;
    for (const record of records) if (isRefused(record)) this.failures.push({ flow, status: "open" });
  }
}

/** Which records the picky import refuses. */
export function isRefused(record: unknown): boolean {
  return record === 2 || (typeof record === "object" && record !== null && "refuse" in record);
}

/** The same text for the same fields, in whatever order. */
export function text(fields: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(
    Object.entries(fields)
      .filter(([, value]) => value !== undefined)
      .sort(([one], [other]) => (one < other ? -1 : 1)),
  );
}
