import { type Signal, signal } from "../view.ts";

const words = signal<((expression: string) => string) | undefined>(undefined);
let isAsked = false;

/** The schedule in words; as it is written until the words are loaded, and where there are none for it. */
export function scheduleInWords(expression: string): string {
  if (!isAsked) {
    isAsked = true;
    void load(words);
  }
  return words.value?.(expression) ?? expression;
}

async function load(into: Signal<((expression: string) => string) | undefined>): Promise<void> {
  const { default: cronstrue } = await import("cronstrue");
  into.value = (expression) => {
    try {
      const found = cronstrue.toString(expression, { use24HourTimeFormat: true, verbose: false });
      return found.charAt(0).toLowerCase() + found.slice(1);
    } catch {
      // `?` for seconds, and `H`, have no words.
      return expression;
    }
  };
}
