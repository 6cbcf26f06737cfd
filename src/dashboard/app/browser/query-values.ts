/** Parameters of an address; values that are undefined or empty are left out. */
export type QueryValues = Readonly<Record<string, string | undefined>>;
