import { hash } from "node:crypto";
import { canonicalHash } from "./canonical.ts";

/** What an idempotency key is made of. */
export interface RecordIdentity {
  readonly _flowId: string;
  readonly _importId: string;
  readonly key: string;
  /** Which state of the thing; undefined: the content of `record` stands for it. */
  readonly version: string | number | undefined;
  /** As the export gave it. */
  readonly record: unknown;
}

/**
 * One key for one state of a record at one import of one flow: a UUID, which every API takes as an idempotency key.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9562#name-example-of-a-uuidv8-value-n (version 8, made of a SHA-256 hash)
 */
export function idempotencyKey({ _flowId, _importId, key, version, record }: RecordIdentity): string {
  const state = version === undefined ? ["content", canonicalHash(record)] : [typeof version, String(version)];
  return uuidOf(hash("sha256", JSON.stringify([_flowId, _importId, key, ...state]), "hex"));
}

function uuidOf(hex: string): string {
  const variant = ((parseInt(hex.charAt(16), 16) & 0x3) | 0x8).toString(16);
  const [one, two, three] = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(13, 16)];
  return `${one}-${two}-8${three}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
