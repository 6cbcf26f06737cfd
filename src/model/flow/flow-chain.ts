import { type FlowIssues, addUnknownId } from "./flow-issues.ts";

/** A flow as others that run it next see it. */
export interface ChainedFlow {
  readonly _runNextFlowIds?: readonly string[];
}

/** What a flow to be checked runs next, and what gets the problems. */
export interface Chain {
  /** Empty strings are passed over. */
  readonly next: readonly string[];
  readonly issues: FlowIssues;
}

/** The flows to be checked by their ids; the empty string stands for one that has none yet. */
export type Chains = ReadonlyMap<string, Chain>;

/**
 * Adds an issue for each of `_runNextFlowIds` that is the id of no flow, or that leads into a loop in which flows would
 * run each other for ever. `find` is asked for the flows that are not among `chains`, once for each that they lead to.
 */
export async function checkChains(
  chains: Chains,
  find: (_id: string) => Promise<ChainedFlow | undefined>,
): Promise<void> {
  const graph = await graphOf(chains, find);
  const looping = loopingFlows(graph);
  for (const { next, issues } of chains.values())
    for (const [index, _id] of next.entries()) {
      const field = `_runNextFlowIds.${index}`;
      if (_id === "") continue;
      if (!graph.has(_id)) addUnknownId(issues, { field, kind: "flow", _id });
      else if (looping.has(_id))
        issues.add("invalid_ref", field, () => "expected a flow that does not lead back to this one");
    }
}

type Graph = ReadonlyMap<string, readonly string[]>;

/** Every flow that can be reached, with those that it runs next. */
async function graphOf(chains: Chains, find: (_id: string) => Promise<ChainedFlow | undefined>): Promise<Graph> {
  const graph = new Map([...chains].map(([_id, { next }]) => [_id, next]));
  const asked = new Set(graph.keys());
  let ahead = [...graph.values()].flat();
  while (ahead.length > 0) {
    const unread = [...new Set(ahead)].filter((_id) => _id !== "" && !asked.has(_id));
    const found = await Promise.all(unread.map(find));
    ahead = [];
    for (const [index, _id] of unread.entries()) {
      asked.add(_id);
      const flow = found[index];
      if (flow === undefined) continue;
      const next = flow._runNextFlowIds ?? [];
      graph.set(_id, next);
      for (const each of next) ahead.push(each);
    }
  }
  return graph;
}

/** The flows from which a loop can be reached: what is left when those that lead nowhere are removed again and again. */
function loopingFlows(graph: Graph): ReadonlySet<string> {
  const before = new Map<string, string[]>();
  const open = new Map<string, number>();
  for (const [_id, next] of graph) {
    const there = next.filter((each) => graph.has(each));
    open.set(_id, there.length);
    for (const each of there) {
      const leading = before.get(each);
      if (leading === undefined) before.set(each, [_id]);
      else leading.push(_id);
    }
  }
  const ends = [...open].flatMap(([_id, count]) => (count === 0 ? [_id] : []));
  for (const end of ends)
    for (const _id of before.get(end) ?? []) {
      const left = Number(open.get(_id)) - 1;
      open.set(_id, left);
      if (left === 0) ends.push(_id);
    }
  return new Set([...open].flatMap(([_id, count]) => (count > 0 ? [_id] : [])));
}
