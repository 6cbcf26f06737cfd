import { address, hrefWith } from "../browser/address.ts";
import * as say from "../strings.ts";
import { Icon } from "../frame/icons.tsx";

/** Leads to the next page of a list; the browser leads back. */
export function Pager({ next }: { readonly next: string | undefined }) {
  const isFirst = !address.value.query.has("after");
  if (next === undefined && isFirst) return null;
  return (
    <div class="pager">
      {!isFirst && <a href={hrefWith({})}>{say.flowsFirstPage}</a>}
      {next !== undefined && (
        <a class="pager-next" href={hrefWith({ after: next })}>
          {say.flowsNextPage}
          <Icon name="next" />
        </a>
      )}
    </div>
  );
}
