import { findIn, pretty } from "../format/json.ts";
import { exact } from "../format/numbers.ts";
import * as say from "../strings.ts";
import { useState } from "../view.ts";
import { notify } from "../frame/notices.tsx";

/** Longest JSON that is shown; what is longer can be downloaded. */
const maxShown = 200_000;
const maxFound = 200;

/** A value as a tree, with a search in it. */
export function JsonView({ value, name }: { readonly value: unknown; readonly name: string }) {
  const [words, setWords] = useState("");
  const text = pretty(value);
  return (
    <div class="json">
      <div class="json-tools">
        <input
          type="search"
          placeholder={say.searchInRecord}
          aria-label={say.searchInRecord}
          value={words}
          onInput={({ currentTarget }) => setWords(currentTarget.value)}
        />
        <button type="button" class="quiet" onClick={() => void copy(text)}>
          {say.copy}
        </button>
        <button type="button" class="quiet" onClick={() => download(text, name)}>
          {say.download}
        </button>
      </div>
      {words === "" ? <Tree value={value} text={text} /> : <Found value={value} words={words} />}
    </div>
  );
}

function Tree({ value, text }: { readonly value: unknown; readonly text: string }) {
  if (text.length > maxShown)
    return (
      <>
        <pre tabIndex={0}>{text.slice(0, maxShown)}…</pre>
        <p class="muted">{say.cutAt(exact(maxShown), exact(text.length))}</p>
      </>
    );
  return (
    <div class="tree" tabIndex={0} role="group" aria-label={say.record}>
      <Node name={undefined} value={value} depth={0} />
    </div>
  );
}

interface NodeProps {
  readonly name: string | undefined;
  readonly value: unknown;
  readonly depth: number;
}

function Node({ name, value, depth }: NodeProps) {
  const label = name === undefined ? null : <span class="json-name">{name}: </span>;
  if (typeof value !== "object" || value === null) {
    const kind = value === null ? "null" : typeof value;
    return (
      <div class="json-leaf">
        {label}
        <span class={`json-${kind}`}>{JSON.stringify(value)}</span>
      </div>
    );
  }
  const entries: readonly (readonly [string, unknown])[] = Object.entries(value);
  const size = Array.isArray(value) ? `[${exact(entries.length)}]` : `{${exact(entries.length)}}`;
  if (entries.length === 0)
    return (
      <div class="json-leaf">
        {label}
        <span class="muted">{Array.isArray(value) ? "[]" : "{}"}</span>
      </div>
    );
  return (
    <details class="json-node" open={depth < 3}>
      <summary>
        {label}
        <span class="muted">{size}</span>
      </summary>
      {entries.map(([key, below]) => (
        <Node key={key} name={key} value={below} depth={depth + 1} />
      ))}
    </details>
  );
}

function Found({ value, words }: { readonly value: unknown; readonly words: string }) {
  const found = findIn(value, words, maxFound);
  return (
    <div class="tree" tabIndex={0} role="group" aria-label={say.searchInRecord}>
      {found.length === 0 && <p class="muted">{say.nothingFound}</p>}
      {found.map((leaf) => (
        <div key={leaf.path} class="json-leaf">
          <span class="json-name">{leaf.path}: </span>
          <span class="json-string">{leaf.value}</span>
        </div>
      ))}
    </div>
  );
}

async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    notify(say.copied);
  } catch {
    notify(say.notCopied, true);
  }
}

function download(text: string, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = `${name}.json`;
  link.click();
  URL.revokeObjectURL(link.href);
}
