import { UsageError } from "./errors.ts";

/** An option of a command. */
export interface Option {
  /** What its value is called in the help, such as `ID`; absent: it takes none. */
  readonly value?: string;
  readonly help: string;
  /** The values that it may have. */
  readonly choices?: readonly string[];
  /** Its value is a whole number of at least this. */
  readonly least?: number;
  readonly short?: string;
}

/** Options by their names, without the dashes. */
export type Options = Readonly<Record<string, Option>>;

/** Options that every command has. */
export const commonOptions = {
  file: { value: "FILE", help: "The SQLite file of the application; only read, unless the command changes something." },
  url: { value: "ADDRESS", help: "The HTTP API of the application, such as https://example.com/flows/api." },
  "token-env": { value: "NAME", help: "Environment variable with the bearer token for --url." },
  json: { help: "Write JSON, one document on each line." },
  help: { help: "Show this help.", short: "h" },
  version: { help: "Show the version." },
} as const satisfies Options;

/** Options of lists. */
export const listOptions = {
  limit: { value: "N", least: 1, help: "Show at most so many. 100 if it is left out." },
  after: { value: "CURSOR", help: "Continue a list where an earlier one ended." },
} as const satisfies Options;

/** Asks for no confirmation. */
export const yesOption = { yes: { help: "Do it without asking." } } as const satisfies Options;

/** What was given for the options of a command. */
export class Values {
  readonly #given: ReadonlyMap<string, string | true>;

  constructor(given: ReadonlyMap<string, string | true>) {
    this.#given = given;
  }

  /** The value of an option; undefined if it was not given. */
  text(name: string): string | undefined {
    const value = this.#given.get(name);
    return value === true ? undefined : value;
  }

  /** Whether an option was given. */
  has(name: string): boolean {
    return this.#given.has(name);
  }

  /** A number; undefined if it was not given. It was checked before. */
  number(name: string): number | undefined {
    const value = this.text(name);
    return value === undefined ? undefined : Number(value);
  }

  /** What was given of these, by the names that they have in the API. */
  named(names: Readonly<Record<string, string>>): Record<string, string> {
    const found: Record<string, string> = {};
    for (const [option, name] of Object.entries(names)) {
      const value = this.text(option);
      if (value !== undefined) found[name] = value;
    }
    return found;
  }
}

/** @throws UsageError if the value is none that the option may have. */
export function checkValue(name: string, { choices, least }: Option, value: string): void {
  if (value === "") throw new UsageError(`--${name} needs a value that is not empty`);
  if (choices !== undefined && !choices.includes(value))
    throw new UsageError(`--${name} is one of ${choices.join(", ")}; this is ${JSON.stringify(value)}`);
  if (least !== undefined && !(/^\d{1,9}$/.test(value) && Number(value) >= least))
    throw new UsageError(`--${name} is a whole number of at least ${least}; this is ${JSON.stringify(value)}`);
}
