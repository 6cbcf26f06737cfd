import { diffOf } from "../format/diff.ts";

const signs = { same: " ", removed: "−", added: "+" } as const;
/** Lines around a change that are shown. */
const around = 3;

/** What changes between two strings, line by line, with a sign before each changed line. */
export function Diff({ before, after }: { readonly before: string; readonly after: string }) {
  const lines = diffOf(before, after);
  const isNear = (index: number) =>
    lines.slice(Math.max(0, index - around), index + around + 1).some(({ kind }) => kind !== "same");
  return (
    <pre class="diff" tabIndex={0}>
      {lines.map(({ kind, text }, index) =>
        isNear(index) ? (
          <span key={index} class={`diff-${kind}`}>
            {signs[kind]} {text}
            {"\n"}
          </span>
        ) : null,
      )}
    </pre>
  );
}
