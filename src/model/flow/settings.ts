import { type Json, copyJson, formatValue, isPlainObject } from "../record/json.ts";

/** An object of JSON. */
export type JsonObject = Readonly<Record<string, Json | undefined>>;

/** The settings of a flow, or why they are none, to follow "settings: ". */
export type ReadSettings = { readonly settings: JsonObject } | { readonly problem: string };

const most = 65_536;
const deepest = 100;
const expected = "expected an object of JSON, at most 64 KB and 100 levels deep";

/** A frozen copy of `value`, if it may be a flow's settings. It looks at no more of it than 64 KB. */
export function readSettings(value: unknown): ReadSettings {
  if (typeof value !== "object" || value === null || !isPlainObject(value) || Array.isArray(value))
    return { problem: `${expected}, found ${formatValue(value)}` };
  const budget = { left: most };
  if (!fits(value, budget, 0))
    return { problem: budget.left < 0 ? `${expected}, found more than 64 KB` : `${expected}, found more levels` };
  try {
    const settings = copyJson(value, "settings") as JsonObject;
    const bytes = new TextEncoder().encode(JSON.stringify(settings)).length;
    return bytes > most ? { problem: `${expected}, found ${bytes} bytes` } : { settings };
  } catch (error) {
    return { problem: `${expected}, but ${(error as Error).message}` };
  }
}

// Counts what each value takes at least, so that what goes on for ever, or is far too large, is not walked to its end.
function fits(value: unknown, budget: { left: number }, depth: number): boolean {
  budget.left -= typeof value === "string" ? value.length : 1;
  if (budget.left < 0 || depth > deepest) return false;
  if (typeof value !== "object" || value === null) return true;
  if (Array.isArray(value) ? value.length > budget.left : !isPlainObject(value)) return !Array.isArray(value);
  for (const key in value) {
    if (!Object.hasOwn(value, key)) continue;
    budget.left -= key.length;
    if (!fits((value as Record<string, unknown>)[key], budget, depth + 1)) return false;
  }
  return true;
}

/** True if both are the same JSON, in whatever order their keys are. */
export function sameJson(one: Json | undefined, other: Json | undefined): boolean {
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return one === other;
  const [keys, others] = [Object.keys(one), Object.keys(other)];
  if (Array.isArray(one) !== Array.isArray(other) || keys.length !== others.length) return false;
  const at = (value: object, key: string) => (value as Record<string, Json>)[key];
  return keys.every((key) => Object.hasOwn(other, key) && sameJson(at(one, key), at(other, key)));
}
