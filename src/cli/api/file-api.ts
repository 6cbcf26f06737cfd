import { createHandler, allowAll } from "../../http/index.ts";
import { type Executor, FlowRegistry, type Logger, Scheduler } from "../../index.ts";
import { SqliteStorage } from "../../storage/sqlite/sqlite-storage.ts";
import { systemClock } from "../../clock.ts";
import { isPoundlockError } from "../../errors.ts";
import { messageOf } from "../../model/message.ts";
import { CommandError } from "../errors.ts";
import { Api, type Send } from "./api.ts";

/** A file of an application whose code is not here. */
export interface OpenedFile {
  readonly api: Api;
  /** Has neither exports nor imports, and is never started: it lists, queues and cancels. */
  readonly scheduler: Scheduler;
  close(): Promise<void>;
}

/**
 * Opens the file, which is neither made nor brought up to date: another version of the library may be using it.
 *
 * @throws CommandError saying what is wrong with the file, or what to install.
 */
export async function openFile(file: string, { readOnly }: { readonly readOnly: boolean }): Promise<OpenedFile> {
  const storage = await opened(file, readOnly);
  const registry = new FlowRegistry({ storage });
  const scheduler = new Scheduler(registry, { executor: wakingOthers(storage), logger: silent, name: "poundlock" });
  return {
    api: new Api({ name: file, base: "http://file", send: senderTo(file, scheduler) }),
    scheduler,
    async close() {
      await scheduler.stop();
      // Whoever followed the file says that it does no more.
      await systemClock.yieldToEventLoop();
      await storage.close();
    },
  };
}

async function opened(file: string, readOnly: boolean): Promise<SqliteStorage> {
  try {
    return await SqliteStorage.open(file, { migrate: "check", readOnly });
  } catch (error) {
    throw fileError(file, error);
  }
}

/** The API of the file. What it would only log is said: whoever asks has the file. */
function senderTo(file: string, scheduler: Scheduler): Send {
  let reason = "";
  const error = ({ error: message }: { readonly error?: unknown }) => (reason = String(message));
  const handler = createHandler({ scheduler, authorize: allowAll(), logger: { ...silent, error } });
  return async (request) => {
    const response = await handler(request);
    if (response.status < 500) return response;
    const hint = /\blocked\b|SQLITE_BUSY/.test(reason) ? "; another program has been writing to it for too long" : "";
    throw new CommandError(`${file}: ${reason}${hint}`);
  };
}

/** What is wrong with a file, in the words of a command. */
export function fileError(file: string, error: unknown): CommandError {
  if (isPoundlockError(error) && error.code === "invalid_option" && "option" in error && error.option === "driver")
    return new CommandError(
      `Nothing here reads SQLite files: use Node 22.13 or newer, or \`npm install libsql\` where poundlock is installed. ${error.message}`,
    );
  const { cause } = error as Error;
  return new CommandError(`${file}: ${messageOf(cause ?? error)}`);
}

/** Wakes the processes that have the flows' code, and executes nothing. The storage has it when it has been closed. */
function wakingOthers({ wakes }: SqliteStorage): Executor {
  return {
    capabilities: { durable: true, routes: true },
    start: () => Promise.reject(new Error("the command line starts no scheduler")),
    wake: (_flowId, _exportId) => wakes.addWakes([{ _flowId, _exportId }]),
    stop: () => Promise.resolve(),
  };
}

const ignore = () => undefined;
/** What goes wrong is said where it is shown. */
const silent: Logger = { debug: ignore, info: ignore, warn: ignore, error: ignore };
