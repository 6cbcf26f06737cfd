import type { ApiError } from "../api/client.ts";
import type { Resource } from "../api/resource.ts";
import { after } from "../browser/clock.ts";
import * as say from "../strings.ts";
import { type ComponentChildren, useEffect, useState } from "../view.ts";

/** A part of a screen that shows something of the API. */
export interface PartProps<T> {
  readonly of: Resource<T>;
  /** Says what would be here and how it comes; undefined: there is something. */
  readonly empty?: (value: T) => string | undefined;
  readonly children: (value: T) => ComponentChildren;
}

/** Shows what is loaded in each of its states; what was there stays while something newer is loaded. */
export function Part<T>({ of: resource, empty, children }: PartProps<T>) {
  const [value, error, isBusy] = [resource.value.value, resource.error.value, resource.isBusy.value];
  const isLate = useLate(isBusy);
  if (value === undefined) {
    if (error !== undefined) return <Refusal error={error} again={() => void resource.reload()} />;
    return isLate ? (
      <div class="skeleton" aria-busy="true" aria-label={say.loading} role="img" />
    ) : (
      <div class="skeleton early" />
    );
  }
  const nothing = empty?.(value);
  return (
    <div aria-busy={isBusy ? "true" : undefined} class={isLate ? "part late" : "part"}>
      {error !== undefined && <Refusal error={error} again={() => void resource.reload()} />}
      {nothing === undefined ? children(value) : <p class="empty">{nothing}</p>}
    </div>
  );
}

/** True after 150 ms of it: what is quicker shows no sign of waiting. */
function useLate(isBusy: boolean): boolean {
  const [isLate, setLate] = useState(false);
  useEffect(() => {
    if (isBusy) return after(150, () => setLate(true));
    setLate(false);
    return undefined;
  }, [isBusy]);
  return isBusy && isLate;
}

/** Why something cannot be shown or done. */
export function Refusal({ error, again }: { readonly error: ApiError; readonly again?: () => void }) {
  const words = error.status === 403 ? say.notAllowed : error.status === 0 ? say.offline : undefined;
  return (
    <div class="refusal" role="alert">
      {words !== undefined && <p>{words}</p>}
      {(error.status !== 0 || words === undefined) && (
        <ul>
          {error.problems.map(({ field, message }) => (
            <li key={`${field ?? ""} ${message}`}>{message}</li>
          ))}
        </ul>
      )}
      {again !== undefined && error.status !== 403 && (
        <button type="button" class="quiet" onClick={again}>
          {say.tryAgain}
        </button>
      )}
    </div>
  );
}
