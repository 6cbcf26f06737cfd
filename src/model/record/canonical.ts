import { type Hash, createHash, hash } from "node:crypto";
import { types } from "node:util";
import { isPlainObject } from "./json.ts";

/**
 * A hash of what a value holds: the same for deeply equal values, whatever the order of their properties, and also for
 * a copy that was stored and read back. A property that is undefined counts as absent. Never throws, however deep the
 * value is nested and whatever its getters do; linear in its size.
 */
export function canonicalHash(value: unknown): string {
  const writer = new CanonicalWriter();
  return writer.hash(value);
}

/** Parts of a value beyond this count are left out, so that one that contains the same part over and over ends. */
const mostParts = 4_000_000;

/** Stands on the stack where an object ends. */
class End {
  readonly of: object;

  constructor(of: object) {
    this.of = of;
  }
}

class CanonicalWriter {
  /** Of a value that is longer than one piece: a hash of the others at once costs a fourth of one that is added to. */
  #hash: Hash | undefined;
  /** What is still to be written, the next last. */
  readonly #stack: unknown[] = [];
  /** Objects that the current one is part of. */
  readonly #above = new Set<object>();
  #pending = "";

  hash(value: unknown): string {
    this.#stack.push(value);
    for (let parts = 0; this.#stack.length > 0 && parts < mostParts; parts++) {
      const next = this.#stack.pop();
      if (next instanceof End) this.#above.delete(next.of);
      else this.#write(next);
    }
    if (this.#hash === undefined) return hash("sha256", this.#pending, "base64url");
    return this.#hash.update(this.#pending).digest("base64url");
  }

  #write(value: unknown): void {
    if (typeof value === "string") this.#put(`s${value.length}:`, value);
    else if (typeof value === "number") this.#put(`n${value === 0 ? 0 : value};`);
    else if (typeof value === "object" && value !== null) this.#writeObject(value);
    else if (typeof value === "function" || typeof value === "symbol") this.#put("f;");
    else this.#put(`${typeof value}${String(value)};`);
  }

  #writeObject(value: object): void {
    if (this.#above.has(value)) {
      this.#put("^;");
      return;
    }
    this.#above.add(value);
    this.#stack.push(new End(value));
    try {
      this.#writeParts(value);
    } catch {
      this.#put("!;");
    }
  }

  #writeParts(value: object): void {
    if (Array.isArray(value)) this.#writeAll("a", value as readonly unknown[]);
    else if (types.isDate(value)) this.#put(`d${value.getTime()};`);
    else if (types.isMap(value)) this.#writeAll("m", [...value].flat());
    else if (types.isSet(value)) this.#writeAll("t", [...value]);
    else if (types.isAnyArrayBuffer(value)) this.#writeBytes(new Uint8Array(value));
    else if (ArrayBuffer.isView(value))
      this.#writeBytes(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    else if (isPlainObject(value)) this.#writeFields(value);
    else this.#writeInstance(value);
  }

  #writeAll(kind: string, items: readonly unknown[]): void {
    this.#put(`${kind}${items.length}:`);
    for (let index = items.length - 1; index >= 0; index--) this.#stack.push(items[index]);
  }

  #writeFields(value: object): void {
    const fields = value as Record<string, unknown>;
    const parts: unknown[] = [];
    for (const name of Object.keys(fields).sort()) {
      const part = fields[name];
      if (part !== undefined) parts.push(name, part);
    }
    this.#writeAll("o", parts);
  }

  #writeBytes(bytes: Uint8Array): void {
    this.#put(`b${bytes.length}:`);
    this.#flush().update(bytes);
  }

  // What such an object stands for may be hidden from us, but not from its own methods.
  #writeInstance(value: object): void {
    this.#put("c:", value.constructor.name);
    const { toJSON } = value as { toJSON?: unknown };
    if (typeof toJSON === "function") this.#stack.push(Reflect.apply(toJSON, value, []));
    else {
      // eslint-disable-next-line @typescript-eslint/no-base-to-string -- for objects without one of their own it adds nothing
      this.#stack.push(String(value));
      this.#writeFields(value);
    }
  }

  #put(...parts: readonly string[]): void {
    for (const part of parts) {
      this.#pending += part;
      if (this.#pending.length > 65_536) this.#flush();
    }
  }

  #flush(): Hash {
    this.#hash = (this.#hash ?? createHash("sha256")).update(this.#pending);
    this.#pending = "";
    return this.#hash;
  }
}
