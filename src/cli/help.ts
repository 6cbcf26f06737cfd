import type { Command } from "./commands/command.ts";
import { type Options, commonOptions } from "./options.ts";

/** What the program can do, as lines. */
export function helpOf(commands: readonly Command[]): readonly string[] {
  return [
    "Looks at the flows of an application, and does what can be done about them without its code.",
    "",
    "poundlock COMMAND --file flows.db",
    "poundlock COMMAND --url https://example.com/flows/api --token-env FLOWS_TOKEN",
    "",
    ...pairs(commands.map((command) => [usageOf(command), command.summary])),
    "",
    "Options of all commands:",
    ...optionLines(commonOptions),
    "",
    'Options of one command: "poundlock COMMAND --help".',
    "Exit codes: 0 done; 1 refused, failed, or found something (doctor); 2 the command line is wrong.",
  ];
}

/** What one command can do, as lines. */
export function helpOfCommand(command: Command): readonly string[] {
  const { details, options, summary } = command;
  const own = Object.keys(options).length > 0 ? ["", "Options:", ...optionLines(options)] : [];
  return [
    `poundlock ${usageOf(command)}`,
    "",
    ...wrapped(summary, 0),
    ...(details === undefined ? [] : ["", ...wrapped(details, 0)]),
    ...own,
    "",
    "Options of all commands:",
    ...optionLines(commonOptions),
  ];
}

function usageOf({ name, operands }: Command): string {
  return [name, ...operands].join(" ");
}

function optionLines(options: Options): readonly string[] {
  const names = Object.entries(options).map(([name, { short, value }]) => {
    const long = value === undefined ? `--${name}` : `--${name} ${value}`;
    return short === undefined ? long : `-${short}, ${long}`;
  });
  return pairs(Object.values(options).map(({ choices, help }, index) => [names[index] ?? "", helpWith(choices, help)]));
}

function helpWith(choices: readonly string[] | undefined, help: string): string {
  return choices === undefined ? help : `${help} One of ${choices.join(", ")}.`;
}

/** The second of each pair in a column of its own. */
function pairs(lines: readonly (readonly [string, string])[]): readonly string[] {
  const indent = Math.max(...lines.map(([first]) => first.length)) + 4;
  return lines.flatMap(([first, second]) => {
    const [line = "", ...more] = wrapped(second, indent);
    return [`  ${first.padEnd(indent - 2)}${line.trimStart()}`, ...more];
  });
}

/** In lines of 100 columns at most, which begin with `indent` spaces. */
function wrapped(text: string, indent: number): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && indent + line.length + 1 + word.length > 100) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].map((found) => " ".repeat(indent) + found);
}
