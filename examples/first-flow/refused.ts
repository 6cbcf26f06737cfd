/** Why a record cannot be taken: `code` is the cause, the message is the case at hand. Failures keep both. */
export class Refused extends Error {
  override readonly name = "Refused";
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}
