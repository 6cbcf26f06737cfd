import { type ComponentChildren } from "../view.ts";

/** A name and what it is; false: there is none, and nothing is shown. */
export type Fact = readonly [name: string, value: ComponentChildren];

/** Fields of a document. */
export function Facts({ facts }: { readonly facts: readonly Fact[] }) {
  return (
    <dl class="facts">
      {facts
        .filter(([, value]) => value !== false && value !== undefined && value !== "")
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}
