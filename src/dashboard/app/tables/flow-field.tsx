import { apiPath } from "../api/client.ts";
import type { ListedFlow } from "../api/documents.ts";
import { flowName } from "../api/names.ts";
import { has } from "../api/permissions.ts";
import { useResource } from "../api/resource.ts";
import { address, hrefWith, navigate } from "../browser/address.ts";
import * as say from "../strings.ts";
import { useId, useState } from "../view.ts";
import { Chip, EnteredField } from "./filters.tsx";

interface FlowFieldProps {
  readonly label: string;
  readonly choose: (flow: ListedFlow) => void;
}

/** A field for one of many flows, found by a part of its name. */
export function FlowField({ label, choose }: FlowFieldProps) {
  const list = useId();
  const [words, setWords] = useState("");
  const flows = useResource<readonly ListedFlow[]>(
    apiPath(["flows"], {
      q: has("overview.read") ? words : "",
      limit: "20",
      include: "_id,name,disabled,nextRunAt",
    }),
  ).value.value;
  const names = namesOf(flows ?? []);
  const enter = (name: string) => {
    const flow = names.get(name);
    if (flow !== undefined) choose(flow);
  };
  return (
    <EnteredField label={label} enter={() => enter(words)}>
      <input
        type="search"
        list={list}
        placeholder={say.flowsSearch}
        value={words}
        onInput={({ currentTarget: { value }, inputType }) => {
          setWords(value);
          // What is typed may be the beginning of a longer name; what is picked from the list is not.
          if (!/^(insert(?!Repl)|delete)/.test(inputType)) enter(value);
        }}
      />
      <datalist id={list}>
        {[...names.keys()].map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
    </EnteredField>
  );
}

/** Flows by what they are called in the list: those that share a name by their id, too. */
function namesOf(flows: readonly ListedFlow[]): ReadonlyMap<string, ListedFlow> {
  const isShared = (name: string) => flows.filter((flow) => flow.name === name).length > 1;
  return new Map(flows.map((flow) => [isShared(flow.name) ? `${flow.name} · ${flow._id}` : flow.name, flow]));
}

/** Lets a flow be chosen; then a chip. */
export function FlowFilter() {
  const flow = address.value.query.get("flow");
  if (flow === null) return <FlowField label={say.runsFlow} choose={({ _id }) => navigate(hrefWith({ flow: _id }))} />;
  return (
    <Chip name="flow" label={say.runsFlow}>
      {flowName(flow).value}
    </Chip>
  );
}
