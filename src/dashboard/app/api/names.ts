import { type ReadonlySignal, type Signal, signal } from "../view.ts";
import { apiPath, call } from "./client.ts";

/** Flow → its name, once it is known. */
const names = new Map<string, Signal<string>>();
let wanted: string[] = [];

/** The name of a flow; its id until the name is known, and where the flow is gone. */
export function flowName(_id: string): ReadonlySignal<string> {
  const known = names.get(_id);
  if (known !== undefined) return known;
  const name = signal(_id);
  names.set(_id, name);
  wanted.push(_id);
  if (wanted.length === 1) queueMicrotask(() => void loadNames());
  return name;
}

/** What a screen has loaded anyway. */
export function knowFlow({ _id, name }: { readonly _id: string; readonly name: string }): void {
  const known = names.get(_id);
  if (known === undefined) names.set(_id, signal(name));
  else known.value = name;
}

async function loadNames(): Promise<void> {
  const _ids = wanted;
  wanted = [];
  // Lists show a few flows at a time, many rows of each.
  for (const _id of _ids) {
    const reply = await call<{ readonly name: string }>("GET", apiPath(["flows", _id])).catch(() => undefined);
    if (reply !== undefined) knowFlow({ _id, name: reply.value.name });
  }
}
