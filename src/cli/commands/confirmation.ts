import { createInterface } from "node:readline/promises";
import { UsageError } from "../errors.ts";
import { escaped } from "../output/text.ts";
import type { Call } from "./command.ts";

/**
 * Asks before something that cannot be undone; true if it is to be done. With `--yes` nothing is asked.
 *
 * @throws UsageError if there is nobody to ask.
 */
export async function confirmed({ output, terminal, values }: Call, question: string): Promise<boolean> {
  if (values.has("yes")) return true;
  const { signal, stderr, stdin } = terminal;
  if (stdin.isTTY !== true || stderr.isTTY !== true)
    throw new UsageError(`${question} There is nobody to ask here: add --yes if that is meant`);
  const asking = createInterface({ input: stdin, output: stderr, terminal: false });
  try {
    const closed = new Promise<undefined>((resolve) => asking.once("close", () => resolve(undefined)));
    const line = await Promise.race([asking.question(`${escaped(question)} [y/N] `, { signal }), closed]);
    if (line === undefined) output.notice("");
    else if (/^y(es)?$/i.test(line.trim())) return true;
  } finally {
    asking.close();
  }
  output.notice("Nothing was changed.");
  return false;
}
