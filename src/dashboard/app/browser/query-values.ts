/** Parameters of an address; values that are undefined or empty are left out. */
export type QueryValues = Readonly<Record<string, string | undefined>>;

/** Only the values that are there. */
export const filled = (values: QueryValues): Record<string, string> =>
  Object.fromEntries(Object.entries(values).filter((entry): entry is [string, string] => !!entry[1]));

/** The steps of a path, encoded, and what is asked for there. */
export function pathOf(steps: readonly string[], values: QueryValues = {}): string {
  const query = new URLSearchParams(filled(values)).toString();
  return steps.map(encodeURIComponent).join("/") + (query && `?${query}`);
}
