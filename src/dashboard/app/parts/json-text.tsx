import * as say from "../strings.ts";

interface JsonTextProps {
  readonly label: string;
  readonly text: string;
  /** It is as high as what is in it, up to so many lines. */
  readonly maxRows: number;
  readonly isReadOnly?: boolean;
  readonly edit: (text: string) => void;
}

/** JSON to be changed as it is written. */
export function JsonText({ label, text, maxRows, isReadOnly = false, edit }: JsonTextProps) {
  return (
    <textarea
      class="code"
      aria-label={label}
      rows={Math.min(maxRows, text.split("\n").length + 1)}
      spellcheck={false}
      readOnly={isReadOnly}
      value={text}
      onInput={({ currentTarget }) => edit(currentTarget.value)}
    />
  );
}

/** Says why what was typed is not JSON; undefined: it is. */
export function NotJson({ problem }: { readonly problem: string | undefined }) {
  if (problem === undefined) return null;
  return (
    <p class="refusal" role="alert">
      {say.flowNotJson(problem)}
    </p>
  );
}
