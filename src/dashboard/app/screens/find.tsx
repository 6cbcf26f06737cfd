import { apiPath } from "../api/client.ts";
import type { Failure } from "../api/documents.ts";
import { type Resource, useResource } from "../api/resource.ts";
import { useScan } from "../api/scan.ts";
import { address, href, navigate } from "../browser/address.ts";
import { FailureTable } from "../tables/failure-table.tsx";
import { ScanResult } from "../tables/scan-result.tsx";
import { Part } from "../frame/states.tsx";
import { Section, Title } from "../frame/title.tsx";
import * as say from "../strings.ts";
import { useEffect, useState } from "../view.ts";
import { WhyNot } from "./why-not.tsx";

/** From "order 1234 did not arrive" to why: by key at once, else by what is written in it, else what else it can be. */
export function FindScreen() {
  const key = address.value.query.get("key") ?? "";
  return (
    <>
      <Title name={say.navFindHint} />
      <KeyForm given={key} />
      {key === "" ? <p class="empty">{say.findIntro}</p> : <Found key={key} wanted={key} />}
    </>
  );
}

function KeyForm({ given }: { readonly given: string }) {
  const [key, setKey] = useState(given);
  useEffect(() => setKey(given), [given]);
  return (
    <form
      class="inline"
      onSubmit={(event) => {
        event.preventDefault();
        navigate(href(["find"], { key: key.trim() }));
      }}
    >
      <label class="field wide">
        <span>{say.findLabel}</span>
        <input
          id="find-key"
          type="search"
          autocomplete="off"
          value={key}
          onInput={({ currentTarget }) => setKey(currentTarget.value)}
        />
      </label>
      <button type="submit" class="main">
        {say.navFind}
      </button>
    </form>
  );
}

function Found({ wanted }: { readonly wanted: string }) {
  const exactly = useResource<readonly Failure[]>(apiPath(["failures"], { key: wanted }));
  const rows = exactly.value.value;
  const isMissing = rows?.length === 0;
  const prefix = useResource<readonly Failure[]>(
    isMissing ? apiPath(["failures"], { keyPrefix: wanted, limit: "20" }) : undefined,
  );
  const isUnknown = isMissing && (prefix.value.value?.length === 0 || prefix.error.value !== undefined);
  return (
    <div aria-live="polite">
      <Matches failures={exactly} title={(count) => say.findExact(count, wanted)} />
      {isMissing && prefix.error.value === undefined && (
        <Matches failures={prefix} title={(count) => say.findPrefix(count, wanted)} />
      )}
      {isUnknown && <p class="empty">{say.findNothing(wanted)}</p>}
      {isMissing && <SearchText wanted={wanted} />}
      {isUnknown && <WhyNot wanted={wanted} />}
    </div>
  );
}

interface MatchesProps {
  readonly failures: Resource<readonly Failure[]>;
  readonly title: (count: string) => string;
}

function Matches({ failures, title }: MatchesProps) {
  return (
    <Part of={failures}>
      {(rows) =>
        rows.length > 0 && (
          <Section title={title(say.findCount(rows.length, failures.next.value !== undefined))}>
            <FailureTable failures={rows} />
          </Section>
        )
      }
    </Part>
  );
}

function SearchText({ wanted }: { readonly wanted: string }) {
  const [isWanted, setWanted] = useState(false);
  const scan = useScan(isWanted ? { text: wanted } : undefined);
  if (!isWanted)
    return (
      <p class="after">
        <button type="button" onClick={() => setWanted(true)}>
          {say.findSearchText}
        </button>
      </p>
    );
  return (
    <Section title={say.findSearchText}>
      <ScanResult scan={scan} />
    </Section>
  );
}
