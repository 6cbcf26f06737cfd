import { freezeAndSearch, holdsMutable } from "../../model/record/copy.ts";
import type { Codec } from "../../model/host/export.ts";
import type { Json } from "../../model/record/json.ts";
import { messageOf } from "../../model/message.ts";

/** Stored records as the export made them. One that its codec does not decode stays as it was stored, and is a problem. */
export interface DecodedRecords {
  readonly records: readonly unknown[];
  readonly problems: ReadonlyMap<number, UndecodedError>;
  /** Whether a record holds what cannot be frozen. */
  readonly mutable: boolean;
}

/** The export's codec does not decode a record, which is therefore kept as it was stored. */
export class UndecodedError extends Error {
  override readonly name = "UndecodedError";

  constructor(cause: unknown) {
    super(`the export's codec does not decode the record: ${messageOf(cause)}`, { cause });
  }
}

/** Decodes stored records, but for those that `isDecoded` says are none. Linear; never throws. */
export function decodeRecords(
  stored: readonly unknown[],
  codec: Codec | undefined,
  { freeze, isDecoded = () => false }: { readonly freeze: boolean; readonly isDecoded?: (index: number) => boolean },
): DecodedRecords {
  const problems = new Map<number, UndecodedError>();
  if (codec === undefined) return { records: stored, problems, mutable: stored.some(holdsMutable) };
  let mutable = false;
  const records = stored.map((record, index) => {
    if (isDecoded(index)) return record;
    try {
      const decoded: unknown = codec.decode(record as Json);
      mutable = (freeze ? freezeAndSearch(decoded, true) : holdsMutable(decoded)) || mutable;
      return decoded;
    } catch (error) {
      problems.set(index, new UndecodedError(error));
      return record;
    }
  });
  return { records, problems, mutable };
}
