import { createHash } from "node:crypto";
import { canonicalHash } from "./canonical.ts";
import { itemAt } from "../item-at.ts";

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
  const hash = createHash("sha256").update(JSON.stringify([_flowId, _importId, key, ...state]));
  return uuidOf(hash.digest().subarray(0, 16));
}

function uuidOf(bytes: Buffer): string {
  bytes[6] = (itemAt(bytes, 6) & 0x0f) | 0x80;
  bytes[8] = (itemAt(bytes, 8) & 0x3f) | 0x80;
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
