import { type Duplex, pipeline } from "node:stream";
import { promisify } from "node:util";
import * as zlib from "node:zlib";
import { unusable } from "./file-error.ts";

/** Node 22.15 and newer. */
interface ZstdParts {
  readonly createZstdDecompress?: () => Duplex;
  readonly zstdCompress?: (bytes: Uint8Array, done: (error: Error | null, packed: Buffer) => void) => void;
}

interface Packing {
  readonly unpack: () => Duplex;
  readonly pack: (bytes: Uint8Array) => Promise<Buffer>;
}

const zstd = zlib as ZstdParts;

const packings: Readonly<Record<string, Packing | undefined>> = {
  ".gz": { unpack: () => zlib.createGunzip(), pack: promisify(zlib.gzip) },
  ".br": { unpack: () => zlib.createBrotliDecompress(), pack: promisify(zlib.brotliCompress) },
  ".zst":
    zstd.createZstdDecompress === undefined || zstd.zstdCompress === undefined
      ? undefined
      : { unpack: zstd.createZstdDecompress, pack: promisify(zstd.zstdCompress) },
};

/**
 * How a file is packed, by its name; undefined: it is not.
 *
 * @throws an error with the code `EINVAL` for `.zst` where Node has no Zstandard.
 */
function packingOf(path: string): Packing | undefined {
  const [suffix] = /\.(gz|br|zst)$/i.exec(path) ?? [];
  if (suffix === undefined) return undefined;
  const packing = packings[suffix.toLowerCase()];
  if (packing !== undefined) return packing;
  throw unusable(path, "EINVAL", `.zst takes Node 22.15 or newer, and this is ${process.versions.node}`);
}

/** Whether a file of this name is packed, so that no byte of it can be gone to. */
export function isPacked(path: string): boolean {
  return packingOf(path) !== undefined;
}

/** Whether a file of this name can be added to: one packed part after the other is read as one of `.gz` only. */
export function isAppendable(path: string): boolean {
  return !/\.(br|zst)$/i.test(path);
}

/** The content of a file, unpacked if its name says that it is packed. */
export function unpacked(path: string, chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const packing = packingOf(path);
  if (packing === undefined) return chunks;
  // Its error is that of the iteration; ending the iteration ends the chunks.
  return pipeline(chunks, packing.unpack(), () => undefined);
}

/** Bytes as they stand in a file of this name. */
export async function packed(path: string, bytes: Uint8Array): Promise<Uint8Array> {
  return (await packingOf(path)?.pack(bytes)) ?? bytes;
}
