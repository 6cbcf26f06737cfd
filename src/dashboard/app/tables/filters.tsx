import { address, hrefWith, navigate } from "../browser/address.ts";
import * as say from "../strings.ts";
import { type ComponentChildren, useEffect, useState } from "../view.ts";
import { Icon } from "../frame/icons.tsx";

/** Fields that change the address, and what is filtered by as chips that can be removed. */
export function Filters({ label, children }: { readonly label: string; readonly children: ComponentChildren }) {
  return (
    <div class="filters" role="group" aria-label={label}>
      {children}
    </div>
  );
}

interface ChoiceProps {
  /** The parameter of the address. */
  readonly name: string;
  readonly label: string;
  /** Value → what is shown; what is chosen without a parameter has the value "". */
  readonly options: Readonly<Record<string, string>>;
}

/** One of several values. */
export function ChoiceFilter({ name, label, options }: ChoiceProps) {
  const value = address.value.query.get(name) ?? "";
  return (
    <label class="field">
      <span>{label}</span>
      <select value={value} onChange={({ currentTarget }) => navigate(hrefWith({ [name]: currentTarget.value }))}>
        {Object.entries(options).map(([one, shown]) => (
          <option key={one} value={one}>
            {shown}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Words, which count once they are entered. */
export function WordsFilter({ name, label }: { readonly name: string; readonly label: string }) {
  const given = address.value.query.get(name) ?? "";
  const [value, setValue] = useState(given);
  useEffect(() => setValue(given), [given]);
  const enter = () => {
    if (value.trim() !== given) navigate(hrefWith({ [name]: value.trim() }));
  };
  return (
    <EnteredField label={label} enter={enter}>
      <input
        type="search"
        value={value}
        onInput={({ currentTarget }) => setValue(currentTarget.value)}
        onBlur={enter}
      />
    </EnteredField>
  );
}

interface EnteredFieldProps {
  readonly label: string;
  readonly enter: () => void;
  readonly children: ComponentChildren;
}

/** An input whose words count once they are entered. */
export function EnteredField({ label, enter, children }: EnteredFieldProps) {
  return (
    <form
      class="field"
      onSubmit={(event) => {
        event.preventDefault();
        enter();
      }}
    >
      <label>
        <span>{label}</span>
        {children}
      </label>
    </form>
  );
}

interface ChipProps {
  readonly name: string;
  readonly label: string;
  readonly children: string;
}

/** A filter that came by a link. */
export function Chip({ name, label, children }: ChipProps) {
  if (!address.value.query.has(name)) return null;
  return (
    <span class="chip">
      <span class="muted">{label}</span> {children}
      <a href={hrefWith({ [name]: undefined })} aria-label={say.failuresRemoveFilter(label)}>
        <Icon name="close" />
      </a>
    </span>
  );
}
