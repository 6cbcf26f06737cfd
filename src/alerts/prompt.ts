import { messageOf } from "../model/message.ts";
import type { AlertSource } from "./options.ts";

/** Runs that are queued because of what happened have at least this long between them. */
const pauseMs = 5_000;

/** Queues a run of the flows that alert when something goes wrong in this process, so that nobody waits for the schedule. */
export class Prompt {
  readonly #scheduler: AlertSource;
  readonly #isOwn: (_exportId: string) => boolean;
  #cancelPause: (() => void) | undefined;
  #isWanted = false;
  /** Runs in which an import was paused. The storage says so by the time that they have ended. */
  readonly #pausing = new Set<string>();

  /** `isOwn`: whether it is the export of alerts. */
  constructor(scheduler: AlertSource, isOwn: (_exportId: string) => boolean) {
    this.#scheduler = scheduler;
    this.#isOwn = isOwn;
  }

  /** Begins; it ends with the scheduler. */
  listen(): void {
    const scheduler = this.#scheduler;
    scheduler.on("import:paused", ({ run }) => this.#pausing.add(run._id));
    scheduler.on("run:failed", ({ run }) => {
      this.#pausing.delete(run._id);
      this.#happened(run._exportId);
    });
    for (const ended of ["run:completed", "run:canceled"] as const)
      scheduler.on(ended, ({ run }) => {
        if (this.#pausing.delete(run._id)) this.#happened(run._exportId);
      });
    // What another process goes on with pauses the import there.
    scheduler.on("lease:lost", ({ run }) => this.#pausing.delete(run._id));
    scheduler.on("run:requeued", ({ run }) => this.#pausing.delete(run._id));
    scheduler.on("flow:overdue", ({ flow }) => this.#happened(flow._exportId));
    scheduler.on("scheduler:stopped", () => this.#stop());
  }

  #happened(_exportId: string): void {
    if (this.#isOwn(_exportId) || this.#scheduler.state !== "started") return;
    this.#isWanted = true;
    if (this.#cancelPause === undefined) this.#queue();
  }

  #stop(): void {
    this.#cancelPause?.();
    this.#cancelPause = undefined;
    this.#isWanted = false;
    this.#pausing.clear();
  }

  #queue(): void {
    this.#isWanted = false;
    this.#cancelPause = this.#scheduler.registry.clock.setTimer(() => this.#paused(), pauseMs);
    this.#queueRuns().catch((error: unknown) =>
      this.#scheduler.logger.warn(
        { error: messageOf(error) },
        "no run of alerts was queued: they come by the schedule",
      ),
    );
  }

  #paused(): void {
    this.#cancelPause = undefined;
    if (this.#isWanted) this.#queue();
  }

  async #queueRuns(): Promise<void> {
    const { registry } = this.#scheduler;
    const _exportId = registry.exportIds.find((_id) => this.#isOwn(_id));
    if (_exportId === undefined) return;
    const { items } = await registry.list({ _exportId, disabled: false });
    for (const { _id } of items) if (!(await this.#isWaiting(_id))) await this.#scheduler.run(_id);
  }

  // A run that waits reads what has happened by the time that it begins.
  async #isWaiting(_flowId: string): Promise<boolean> {
    return (await this.#scheduler.listRuns({ _flowId, status: "queued", limit: 1 })).items.length > 0;
  }
}
