/** How something stands out, where colors are shown. */
export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

/** Words of a line; in a style, or plain. */
export type Part = string | { readonly text: string; readonly style: Style };

/**
 * What could drive a terminal, or make it show another text than there is: control characters of both sets, marks that
 * turn the direction of writing, separators of lines, and characters without width.
 */
const hazards = /[\p{Cc}\u061C\u200B-\u200F\u2028-\u202E\u2060-\u2069\uFEFF\u{E0000}-\u{E007F}\p{Surrogate}]/gu;

const shortEscapes: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** The text on one line, with nothing in it that a terminal would obey: such characters are shown as escapes. */
export function escaped(text: string): string {
  return text.replace(hazards, (character) => shortEscapes[character] ?? numbered(character));
}

function numbered(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  const hex = code.toString(16);
  if (code < 0x100) return `\\x${hex.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\u{${hex}}`;
}

/** JSON on one line, which reads back the same, and has nothing in it that a terminal would obey. */
export function jsonLine(value: unknown): string {
  return escapedJson(JSON.stringify(value));
}

/** The same over several lines, for a person. */
export function jsonBlock(value: unknown): readonly string[] {
  return JSON.stringify(value, null, 2).split("\n").map(escapedJson);
}

// JSON escapes the first set of control characters by itself; none of the others means anything outside of strings.
function escapedJson(json: string): string {
  return json.replace(hazards, (character) =>
    [...Array(character.length).keys()]
      .map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`)
      .join(""),
  );
}

const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });
/** Characters that take two columns: East Asian scripts, their wide forms, and pictures. */
const wide =
  /^[\u1100-\u115F\u2E80-\u303E\u3041-\u33FF\u3400-\u4DBF\u4E00-\u9FFF\uA000-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60\uFFE0-\uFFE6\u{20000}-\u{3FFFD}\p{Emoji_Presentation}]/u;

/** How many columns it takes. Of text that was escaped. */
export function widthOf(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const { segment } of graphemes.segment(text)) width += wide.test(segment) ? 2 : 1;
  return width;
}

/** The text, or its beginning and `…` if it takes more than `width` columns, which are 1 or more. */
export function cutTo(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let cut = "";
  let left = width - 1;
  for (const { segment } of graphemes.segment(text)) {
    left -= wide.test(segment) ? 2 : 1;
    if (left < 0) break;
    cut += segment;
  }
  return `${cut}…`;
}

const codes: Readonly<Record<Style, readonly [on: number, off: number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
};

/** In the style, if colors are shown. */
export function styled(text: string, style: Style, colors: boolean): string {
  const [on, off] = codes[style];
  return colors ? `\x1b[${on}m${text}\x1b[${off}m` : text;
}
