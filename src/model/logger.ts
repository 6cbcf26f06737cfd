/** Where structured lines go; pino and console both are one. Never called with secrets, nor once per record. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Says nothing. */
export const silentLogger: Logger = {
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
};

/** Adds `fields` to every line; the line's own win. */
export function withFields(logger: Logger, fields: object): Logger {
  const line =
    (level: keyof Logger) =>
    (more: object, message: string): void =>
      logger[level]({ ...fields, ...more }, message);
  return {
    debug: line("debug"),
    info: line("info"),
    warn: line("warn"),
    error: line("error"),
  };
}

function nothing(): void {
  // A host that wants lines hands over its own logger.
}
