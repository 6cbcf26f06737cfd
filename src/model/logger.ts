/** Where structured lines go; pino and console both are one. Never called with secrets, nor once per record. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Writes nothing. */
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

/** Writes warnings and errors to the console, and nothing else. */
export const consoleLogger: Logger = {
  debug: nothing,
  info: nothing,
  warn: (fields, message) => console.warn(`poundlock: ${message}`, fields),
  error: (fields, message) => console.error(`poundlock: ${message}`, fields),
};

/** The same logger, but whatever it throws, or rejects with, is dropped: a line that cannot be written harms nothing. */
export function harmlessLogger(logger: Logger): Logger {
  // Some loggers are asynchronous although the contract returns nothing.
  const written: Readonly<Record<keyof Logger, (fields: object, message: string) => unknown>> = logger;
  const line =
    (level: keyof Logger) =>
    (fields: object, message: string): void => {
      try {
        const returned = written[level](fields, message);
        if (returned instanceof Promise) returned.catch(nothing);
      } catch {
        // There is no other place left to report it to.
      }
    };
  return { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };
}

function nothing(): void {
  // A host that wants lines hands over its own logger.
}
