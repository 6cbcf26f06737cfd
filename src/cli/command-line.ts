import { messageOf } from "../model/message.ts";
import { openFile } from "./api/file-api.ts";
import { webApi } from "./api/web-api.ts";
import { readArguments } from "./arguments.ts";
import type { Call, Command, Place } from "./commands/command.ts";
import { commands } from "./commands/commands.ts";
import { CommandError, UsageError } from "./errors.ts";
import { helpOf, helpOfCommand } from "./help.ts";
import type { Values } from "./options.ts";
import { Output } from "./output/output.ts";
import { escaped } from "./output/text.ts";
import type { Terminal } from "./terminal.ts";
import { version } from "./version.ts";

/** What a program returns to the system: it was done. */
const done = 0;
/** It was refused, it failed, or something was found. */
const failed = 1;
/** The command line is wrong. */
const misused = 2;

/**
 * The program: does what the command line says, and resolves with the exit code. Never rejects.
 *
 * @param args Without the names of Node and of the program.
 */
export async function runCommandLine(args: readonly string[], terminal: Terminal): Promise<number> {
  try {
    return await run(withoutHelpWord(args), terminal);
  } catch (error) {
    if (terminal.signal.aborted && !(error instanceof CommandError)) return failed;
    const isUsage = error instanceof UsageError;
    const isOurs = isUsage || error instanceof CommandError;
    terminal.stderr.write(`poundlock: ${escaped(isOurs ? error.message : `unexpected error: ${messageOf(error)}`)}\n`);
    if (isUsage) terminal.stderr.write(`"poundlock --help" lists commands and options.\n`);
    return isUsage ? misused : failed;
  }
}

/** `help run` is `run --help`. */
function withoutHelpWord(args: readonly string[]): readonly string[] {
  return args[0] === "help" ? [...args.slice(1), "--help"] : args;
}

async function run(args: readonly string[], terminal: Terminal): Promise<number> {
  const { command, operands, values } = readArguments(args, commands);
  const output = new Output(terminal, values.has("json"));
  if (values.has("version")) {
    output.line(version());
    return done;
  }
  if (values.has("help")) {
    for (const line of command === undefined ? helpOf(commands) : helpOfCommand(command)) output.line(line);
    return done;
  }
  if (command === undefined) {
    for (const line of helpOf(commands)) output.notice(line);
    return misused;
  }
  return runOn(command, placeOf(values, terminal), { operands, values, terminal, output });
}

async function runOn(command: Command, place: Place, call: Call): Promise<number> {
  if ("runOn" in command) return command.runOn(place, call);
  if ("api" in place) return command.run({ ...call, api: place.api });
  const file = await openFile(place.file, { readOnly: !command.changes });
  try {
    return await command.run({ ...call, api: file.api, file });
  } finally {
    await file.close();
  }
}

function placeOf(values: Values, { env, signal }: Terminal): Place {
  const file = values.text("file");
  const address = values.text("url");
  const tokenName = values.text("token-env");
  if (file !== undefined && address !== undefined) throw new UsageError("Either --file or --url, not both");
  if (file !== undefined && tokenName !== undefined)
    throw new UsageError("--token-env is for --url; a file needs none");
  if (file !== undefined) return { file };
  if (address !== undefined) return { api: webApi({ address, tokenName, env, signal }) };
  throw new UsageError("Say where the flows are: --file flows.db, or --url with the address of an API");
}
