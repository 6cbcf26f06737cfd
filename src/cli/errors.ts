/** A command line that cannot be understood: exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** A command that was understood, and could not be carried out: exit code 1. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}
