import { systemClock } from "../../../src/clock.ts";
import type { S3Client, SftpSession } from "../../../src/connectors/files/index.ts";
import { type Exports, FlowRegistry, type Imports, Scheduler } from "../../../src/index.ts";
import { silentLogger } from "../../../src/model/logger.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { Gate, gatedClock } from "../../simulation/process.ts";

/** A process that dies at a step: before or after a request, and before or after a commit. Nothing of it happens any more then. */
export class Mortal {
  readonly gate = new Gate();
  readonly died: Promise<"died">;
  #at: number;
  #die: (how: "died") => void = () => undefined;
  #steps = 0;

  constructor(at: number) {
    this.#at = at;
    this.died = new Promise((resolve) => (this.#die = resolve));
  }

  get isAlive(): boolean {
    return !this.gate.isShut;
  }

  /** From now on it does not die. */
  spare(): void {
    this.#at = Infinity;
  }

  /** Whether what comes next is done. */
  step(): boolean {
    if (this.isAlive && ++this.#steps === this.#at) {
      this.gate.shut();
      this.#die("died");
    }
    return this.isAlive;
  }

  /** Work that is not begun, or whose end nobody hears of, if the process dies. */
  async does<T>(work: () => Promise<T>, isStep = true): Promise<T> {
    if (!this.#goesOn(isStep)) return never();
    const [ended] = await Promise.allSettled([work()]);
    if (!this.#goesOn(isStep)) return never();
    if (ended.status === "rejected") throw ended.reason as Error;
    return ended.value;
  }

  /** Each request is two steps. */
  client(client: S3Client): S3Client {
    return new Proxy(client, {
      get: (target, name: keyof S3Client) => (given: never) => this.does(() => target[name](given) as Promise<never>),
    });
  }

  /** Each request is two steps. */
  session(session: SftpSession): SftpSession {
    return new Proxy(session, {
      get: (target, name) => {
        const method = Reflect.get(target, name) as (...given: unknown[]) => unknown;
        if (name === "once" || typeof method !== "function") return method;
        return (...given: unknown[]) => {
          const done = given.pop() as (...answer: unknown[]) => void;
          const hear = (...answer: unknown[]) => {
            if (this.step()) done(...answer);
          };
          if (this.step()) method.call(target, ...given, hear);
        };
      },
    });
  }

  /** A commit is two steps. */
  storage(storage: Storage): Storage {
    return new Proxy(storage, {
      get: (target, name) => {
        const method: unknown = Reflect.get(target, name);
        if (typeof method !== "function") return method;
        const call = (given: unknown[]) => Reflect.apply(method, target, given) as Promise<unknown>;
        return (...given: unknown[]) => this.does(() => call(given), name === "commitPage");
      },
    });
  }

  #goesOn(isStep: boolean): boolean {
    return isStep ? this.step() : this.isAlive;
  }
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}

/** One flow, run by processes of which each dies at its step, and the last does not. */
export async function moveByMortals(
  storage: Storage,
  steps: readonly number[],
  partsOf: (process: Mortal) => { readonly exports: Exports; readonly imports: Imports },
  afterDeath: () => Promise<void>,
) {
  let ids: { readonly _flowId: string; readonly _runId: string } | undefined;
  let deaths = 0;
  const pauses: unknown[] = [];
  for (const [nth, step] of [...steps, Infinity].entries()) {
    const process = new Mortal(step);
    // Ten minutes later than the one before, so that the lease of that one has run out.
    const clock = gatedClock(systemClock, process.gate, { ms: nth * 600_000 });
    const registry = new FlowRegistry({ ...partsOf(process), storage: process.storage(storage), clock });
    const scheduler = new Scheduler(registry, { logger: silentLogger, maxCrashes: 1_000 });
    scheduler.on("import:paused", (pause) => pauses.push(pause));
    const move = async () => {
      await scheduler.start();
      if (ids === undefined) {
        const { _id: _flowId } = await registry.create({ name: "files", _exportId: "from", _importId: "into" });
        ids = { _flowId, _runId: (await scheduler.run(_flowId))._id };
      }
      return scheduler.waitFor(ids._runId);
    };
    const run = await Promise.race([move(), process.died]);
    if (run !== "died") {
      process.spare();
      const next = await scheduler.waitFor((await scheduler.run(ids?._flowId ?? ""))._id);
      await scheduler.stop();
      return { run, next, deaths, pauses };
    }
    deaths++;
    await afterDeath();
  }
  throw new Error("the last process died");
}
