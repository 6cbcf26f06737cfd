import { InvalidOptionError } from "../errors.ts";
import { callable, checkObject, validate } from "../model/validate.ts";

/**
 * Filters for the imports of one flow, of which exactly one is true for each record: that of the first rule, in the order
 * in which they are written, that is true for it, or else `otherwise`. A rule that throws makes the record a failure of
 * each import that is asked.
 *
 * @example
 * const { big, otherwise: small } = firstMatch({ big: (order: Order) => order.total > 10_000 });
 * @throws `invalid_option` for a rule that is no function, is called `otherwise`, or has a number for a name, whose order
 * JavaScript would not keep.
 */
export function firstMatch<T, K extends string>(
  rules: Readonly<Record<K, (record: T) => boolean>>,
): Readonly<Record<K | "otherwise", (record: T) => boolean>> {
  checkObject(rules, InvalidOptionError, "firstMatch");
  const names = Object.keys(rules) as K[];
  validate(rules, Object.fromEntries(names.map((name) => [name, callable])), InvalidOptionError, "firstMatch.");
  for (const name of names)
    if (name === "otherwise" || /^\d+$/.test(name))
      throw new InvalidOptionError("firstMatch", "names of rules that are neither numbers nor otherwise", name);
  const matchOf = (record: T) => names.findIndex((name) => rules[name](record));
  const filters = names.map((name, place) => [name, (record: T) => matchOf(record) === place] as const);
  return Object.fromEntries([...filters, ["otherwise", (record: T) => matchOf(record) < 0] as const]) as Record<
    K | "otherwise",
    (record: T) => boolean
  >;
}
