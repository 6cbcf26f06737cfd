import type { Flow } from "../../index.ts";
import { didYouMean } from "../../model/suggest.ts";
import { type Api, RefusedError, pathTo } from "../api/api.ts";
import { CommandError } from "../errors.ts";

/** What a person may give an id of. */
export type Kind = "flow" | "run" | "failure";

const lists = { flow: "/flows", run: "/runs", failure: "/failures" } as const;
const folders = { flow: "flows", run: "runs", failure: "failures" } as const;

/**
 * What `work` resolves with; where it says that there is no such thing, the error says what may have been meant.
 *
 * @throws CommandError
 */
export async function withSuggestion<T>(api: Api, kind: Kind, _id: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof RefusedError && error.status === 404 && error.message.includes(kind))
      throw new CommandError(await unknownId(api, [kind], _id));
    throw error;
  }
}

/** That there is no such thing, and what may have been meant. */
export async function unknownId(api: Api, kinds: readonly Kind[], _id: string): Promise<string> {
  const words = kinds.join(", ").replace(/, ([^,]*)$/, " or $1");
  return `There is no ${words} ${JSON.stringify(_id)}${await hintFor(api, kinds, _id)}`;
}

/**
 * To be asked where nothing was found of a flow: that may be because there is no such flow.
 *
 * @throws CommandError
 */
export async function expectFlow(api: Api, _id: string | number | boolean | undefined): Promise<void> {
  if (typeof _id !== "string") return;
  const isKnown = await api.find(pathTo("flows", _id)).then(
    (flow) => flow !== undefined,
    () => true,
  );
  if (!isKnown) throw new CommandError(await unknownId(api, ["flow"], _id));
}

async function hintFor(api: Api, kinds: readonly Kind[], _id: string): Promise<string> {
  const other = await otherKind(api, kinds, _id);
  if (other !== undefined) return `; it is the id of a ${other}`;
  const flow = kinds.includes("flow") ? await flowNamed(api, _id) : undefined;
  if (flow !== undefined) return `; the flow of this name is ${JSON.stringify(flow)}`;
  for (const kind of kinds) {
    const near = didYouMeanId(_id, await someIds(api, kind));
    if (near !== "") return near;
  }
  return "";
}

// The beginning of an id is what is left of one that was cut.
function didYouMeanId(given: string, ids: readonly string[]): string {
  const begun = given.length < 4 ? [] : ids.filter((_id) => _id.startsWith(given));
  const [first] = begun;
  if (begun.length === 1 && first !== undefined) return `; did you mean ${JSON.stringify(first)}?`;
  return didYouMean(given, ids);
}

async function otherKind(api: Api, kinds: readonly Kind[], _id: string): Promise<Kind | undefined> {
  for (const kind of ["flow", "run", "failure"] as const)
    if (!kinds.includes(kind) && (await allowed(api.find(pathTo(folders[kind], _id)))) !== undefined) return kind;
  return undefined;
}

async function flowNamed(api: Api, name: string): Promise<string | undefined> {
  const flows = await allowed(api.page<Pick<Flow, "_id" | "name">>("/flows", { limit: 1_000, include: "_id,name" }));
  const named = flows?.items.filter((flow) => flow.name.toLowerCase() === name.toLowerCase()) ?? [];
  return named.length === 1 ? named[0]?._id : undefined;
}

async function someIds(api: Api, kind: Kind): Promise<readonly string[]> {
  const found = await allowed(api.page<{ readonly _id: string }>(lists[kind], { limit: 100, include: "_id" }));
  return found?.items.map(({ _id }) => _id) ?? [];
}

// A suggestion is worth no error: the caller may not be allowed to see the list.
async function allowed<T>(work: Promise<T>): Promise<T | undefined> {
  return work.catch(() => undefined);
}
