import { parseArgs } from "node:util";
import { didYouMean } from "../model/suggest.ts";
import type { Command } from "./commands/command.ts";
import { UsageError } from "./errors.ts";
import { type Options, Values, checkValue, commonOptions } from "./options.ts";

/** A command line that was read. */
export interface Arguments {
  /** Undefined: none was named. */
  readonly command: Command | undefined;
  readonly operands: readonly string[];
  readonly values: Values;
}

/** What a person may try, and why it is not there. */
const refusedOptions: Readonly<Record<string, string>> = {
  token:
    "--token is refused: other users of this computer see the arguments of a program. Put the token into an environment variable, and name that by --token-env",
};

const flowChange =
  "flows are changed where their exports and imports are known: in the application's code, on its dashboard, or by its HTTP API";
const refusedCommands: Readonly<Record<string, string>> = Object.fromEntries(
  ["create", "update", "patch", "edit", "enable", "disable", "delete", "clone", "rename"].map((name) => [
    name,
    `There is no command "${name}": ${flowChange}`,
  ]),
);

/** @throws UsageError saying what is wrong, and what may have been meant. */
export function readArguments(args: readonly string[], commands: readonly Command[]): Arguments {
  const known: Options = Object.assign({}, commonOptions, ...commands.map(({ options }) => options)) as Options;
  const config = Object.entries(known).map(([name, { short, value }]) => {
    const type: "boolean" | "string" = value === undefined ? "boolean" : "string";
    return [name, { type, ...(short === undefined ? {} : { short }) }] as const;
  });
  const { tokens } = parseArgs({
    args: [...args],
    options: Object.fromEntries(config),
    ...{ strict: false, allowPositionals: true, tokens: true },
  });
  const words = tokens.flatMap((token) => (token.kind === "positional" ? [token.value] : []));
  const { command, operands } = commandOf(words, commands);
  const allowed: Options = { ...commonOptions, ...command?.options };
  const given = new Map<string, string | true>();
  for (const token of tokens)
    if (token.kind === "option") given.set(token.name, valueOf(token, { allowed, known, given, command }));
  const values = new Values(given);
  if (command !== undefined && !values.has("help")) checkOperands(command, operands);
  return { command, operands, values };
}

function commandOf(
  words: readonly string[],
  commands: readonly Command[],
): { readonly command: Command | undefined; readonly operands: readonly string[] } {
  const [first, second] = words;
  if (first === undefined) return { command: undefined, operands: [] };
  const pair = commands.find(({ name }) => name === `${first} ${String(second)}`);
  if (pair !== undefined) return { command: pair, operands: words.slice(2) };
  const one = commands.find(({ name }) => name === first);
  if (one !== undefined) return { command: one, operands: words.slice(1) };
  const refused = Object.hasOwn(refusedCommands, first) ? refusedCommands[first] : undefined;
  if (refused !== undefined) throw new UsageError(refused);
  const below = commands.filter(({ name }) => name.startsWith(`${first} `)).map(({ name }) => name);
  if (below.length > 0) throw new UsageError(`"${first}" is followed by one of: ${below.join(", ")}`);
  const names = commands.map(({ name }) => name);
  throw new UsageError(`There is no command ${JSON.stringify(first)}${didYouMean(first, names)}`);
}

interface OptionToken {
  readonly name: string;
  readonly rawName: string;
  readonly value: string | undefined;
  readonly inlineValue: boolean | undefined;
}

interface OptionPlace {
  readonly allowed: Options;
  readonly known: Options;
  readonly given: ReadonlyMap<string, unknown>;
  readonly command: Command | undefined;
}

function valueOf({ inlineValue, name, rawName, value }: OptionToken, place: OptionPlace): string | true {
  const option = Object.hasOwn(place.allowed, name) ? place.allowed[name] : undefined;
  if (option === undefined) throw unknownOption(name, rawName, place);
  if (place.given.has(name)) throw new UsageError(`--${name} is given twice`);
  if (option.value === undefined) {
    if (value !== undefined) throw new UsageError(`--${name} takes no value`);
    return true;
  }
  if (value === undefined) throw new UsageError(`--${name} needs a value: --${name} ${option.value}`);
  if (inlineValue !== true && value.startsWith("-"))
    throw new UsageError(
      `--${name} needs a value: --${name} ${option.value}; one that begins with a dash is written --${name}=${value}`,
    );
  checkValue(name, option, value);
  return value;
}

function unknownOption(name: string, rawName: string, { allowed, command, known }: OptionPlace): UsageError {
  const reason = Object.hasOwn(refusedOptions, name) ? refusedOptions[name] : undefined;
  if (reason !== undefined) return new UsageError(reason);
  const owner = command === undefined ? "poundlock" : `poundlock ${command.name}`;
  if (Object.hasOwn(known, name)) return new UsageError(`"${owner}" has no option --${name}; other commands do`);
  return new UsageError(
    `"${owner}" has no option ${rawName}${didYouMean(`--${name}`, Object.keys(allowed).map(dashed))}`,
  );
}

const dashed = (name: string) => `--${name}`;

function checkOperands({ name, operands: expected }: Command, given: readonly string[]): void {
  const usage = `poundlock ${name}${expected.map((operand) => ` ${operand}`).join("")}`;
  const isOptional = (operand: string) => operand.startsWith("[");
  const least = expected.filter((operand) => !isOptional(operand)).length;
  const most = expected.some((operand) => operand.includes("…")) ? Infinity : expected.length;
  if (given.length < least) throw new UsageError(`${String(expected[given.length])} is missing: ${usage}`);
  if (given.length > most) throw new UsageError(`${JSON.stringify(given[most])} is one argument too many: ${usage}`);
}
