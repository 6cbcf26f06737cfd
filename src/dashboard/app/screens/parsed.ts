/** What was typed as JSON, or why it is none. */
export type ParsedJson =
  { readonly value: unknown; readonly problem: undefined } | { readonly value: undefined; readonly problem: string };

/** Reads what was typed. */
export function parsed(text: string): ParsedJson {
  try {
    return { value: JSON.parse(text) as unknown, problem: undefined };
  } catch (error) {
    return { value: undefined, problem: error instanceof Error ? error.message : String(error) };
  }
}
