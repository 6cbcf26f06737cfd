import { settings } from "../browser/settings.ts";
import { type ComponentChildren, useEffect } from "../view.ts";

/** The heading of a screen. It gets the focus after navigation. */
export function Title({ name, children, actions }: TitleProps) {
  useEffect(() => {
    document.title = `${name} · ${settings.title}`;
  }, [name]);
  return (
    <div class="title">
      <h1 tabIndex={-1}>{name}</h1>
      {actions !== undefined && <div class="actions">{actions}</div>}
      {children}
    </div>
  );
}

/** A heading, what stands beside it, and what can be done. */
export interface TitleProps {
  readonly name: string;
  readonly children?: ComponentChildren;
  readonly actions?: ComponentChildren;
}

/** The screen of something that is not there any more. */
export function Gone({ name, words }: { readonly name: string; readonly words: string }) {
  return (
    <>
      <Title name={name} />
      <p class="empty">{words}</p>
    </>
  );
}

/** A part of a screen with a heading of its own. */
export function Section({ title, aside, children }: SectionProps) {
  return (
    <section aria-label={title}>
      <div class="section-head">
        <h2>{title}</h2>
        {aside}
      </div>
      {children}
    </section>
  );
}

interface SectionProps {
  readonly title: string;
  readonly aside?: ComponentChildren;
  readonly children: ComponentChildren;
}
