/** Whether something stands in the message of a failure, or in its record as JSON, in any case of ASCII letters. */
export class TextSearch {
  /** What is looked for in a message. */
  readonly inMessage: string;
  /** What is looked for in JSON, where quotes, backslashes and line ends are escaped. */
  readonly inJson: string;

  constructor(text: string) {
    this.inMessage = lowerCase(text);
    this.inJson = lowerCase(JSON.stringify(text).slice(1, -1));
  }

  /** `json`: the record's; null if JSON cannot say it, and then it is not looked at. */
  finds(message: string, json: string | null): boolean {
    return lowerCase(message).includes(this.inMessage) || (json !== null && lowerCase(json).includes(this.inJson));
  }
}

/** As databases do that know no language: other letters than those of ASCII stay as they are. */
export function lowerCase(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
