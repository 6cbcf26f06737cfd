import { type AlertOptions, type Alert, type AlertCheckpoint, alerts } from "../../src/alerts/index.ts";
import type { Export, ExportContext, Flow, Import, Page, SchedulerOptions } from "../../src/index.ts";
import { silentLogger } from "../../src/model/logger.ts";
import { type CollectingImport, collectingImport } from "../../src/testing/index.ts";
import { Harness, upTo } from "../support/harness.ts";

/** Flows that fail when they are to, alerts that read how they do, and what was sent. */
export class AlertHarness extends Harness {
  /** Flows whose export throws. */
  readonly broken = new Set<string>();
  /** Records that the import of flows refuses, and what it throws for all of them. */
  readonly refused = new Set<number>();
  outage: Error | undefined;
  /** Records of a run. */
  records = 1;
  readonly source: Export<Alert, AlertCheckpoint>;
  readonly sent: CollectingImport<Alert>;

  constructor(rules?: AlertOptions, options: SchedulerOptions = {}, sent = collectingImport<Alert>()) {
    super({ options: { autoRetry: false, maxAttempts: 1, ...options } });
    this.sent = sent;
    const { broken, refused } = this;
    const records = () => upTo(this.records);
    const outage = () => this.outage;
    this.registry.addExport("orders", {
      order: "ordered" as const,
      key: String,
      async *pages({ flow }: ExportContext) {
        if (broken.has(flow.name)) throw new Error("connect ECONNREFUSED");
        yield { records: records(), checkpoint: 1 };
      },
    });
    const ledger: Import<number> = {
      idempotent: true,
      write: async (numbers: readonly number[]) => {
        const error = outage();
        if (error !== undefined) throw error;
        return numbers.map((number) =>
          refused.has(number)
            ? { ok: false as const, fault: "reject" as const, error: new Error("no VAT number") }
            : { ok: true as const },
        );
      },
    };
    this.registry.addImport("ledger", ledger);
    this.source = rules === undefined ? alerts(this.scheduler) : alerts(this.scheduler, rules);
    this.registry.addExport("alerts", this.source);
    this.registry.addImport("slack", this.sent);
  }

  /** A flow whose runs fail while its name is in `broken`. */
  async orders(name = "Orders", schedule?: string): Promise<Flow> {
    return this.registry.create({
      ...{ name, _exportId: "orders", _importId: "ledger" },
      ...(schedule === undefined ? {} : { schedule }),
    });
  }

  /** A flow that alerts; without a schedule unless one is given. */
  async alerting(schedule: string | null = null, _importIds: readonly string[] = ["slack"]): Promise<Flow> {
    return this.registry.create({ name: "Alerts", schedule, _exportId: "alerts", _importIds });
  }

  /** Breaks the flow, and runs it. */
  async fails(flow: Flow): Promise<void> {
    this.broken.add(flow.name);
    await this.run(flow._id);
  }

  /** Repairs the flow, and runs it. */
  async completes(flow: Flow): Promise<void> {
    this.broken.delete(flow.name);
    await this.run(flow._id);
  }

  /** What the export yields from a checkpoint on, and the last checkpoint. */
  async look(checkpoint?: AlertCheckpoint, _flowId = "alerts") {
    const pages: Page<Alert, AlertCheckpoint>[] = [];
    for await (const page of this.pages(checkpoint, _flowId)) pages.push(page as Page<Alert, AlertCheckpoint>);
    return {
      pages,
      alerts: pages.flatMap(({ records }) => records),
      checkpoint: pages.at(-1)?.checkpoint ?? checkpoint,
    };
  }

  pages(checkpoint?: AlertCheckpoint, _flowId = "alerts", signal = new AbortController().signal) {
    const context = { checkpoint, flow: { _id: _flowId }, pageSize: 100, signal, log: silentLogger };
    const pages = this.source.pages?.(context as unknown as ExportContext<AlertCheckpoint>);
    if (pages === undefined) throw new Error("alerts have no pages");
    return pages;
  }
}
