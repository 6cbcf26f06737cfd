import { InvalidOptionError } from "../../../errors.ts";
import { messageOf } from "../../../model/message.ts";
import { objectWith, string, v, validate } from "../../../model/validate.ts";
import { outOfReach, unusable } from "../file-error.ts";
import type { FileEntry, FileSystem } from "../file-system.ts";

/**
 * What is used of the `S3` client of `@aws-sdk/client-s3`, or of another one that has these methods. `send` of its smaller
 * `S3Client` takes commands, which are classes of that package: this one takes plain objects.
 */
export interface S3Client {
  listObjectsV2(request: S3ListRequest, options?: S3CallOptions): Promise<S3Listing>;
  getObject(request: S3ObjectName & { Range?: string }): Promise<{ Body?: unknown }>;
  headObject(request: S3ObjectName): Promise<{ ContentLength?: number | undefined }>;
  putObject(request: S3ObjectName & { Body: Uint8Array }): Promise<unknown>;
  copyObject(request: S3ObjectName & { CopySource: string }): Promise<unknown>;
  deleteObject(request: S3ObjectName): Promise<unknown>;
  createMultipartUpload(request: S3ObjectName): Promise<{ UploadId?: string | undefined }>;
  uploadPart(request: S3PartRequest): Promise<{ ETag?: string | undefined }>;
  completeMultipartUpload(request: S3CompleteRequest): Promise<unknown>;
  abortMultipartUpload(request: S3ObjectName & { UploadId: string }): Promise<unknown>;
}

/** An object of a bucket. */
export interface S3ObjectName {
  Bucket: string;
  Key: string;
}

/** A page of a listing. */
export interface S3ListRequest {
  Bucket: string;
  Prefix?: string;
  ContinuationToken?: string;
}

/** What a listing has. */
export interface S3Listing {
  Contents?: { Key?: string | undefined; Size?: number | undefined; LastModified?: Date | undefined }[] | undefined;
  IsTruncated?: boolean | undefined;
  NextContinuationToken?: string | undefined;
}

/** How one request is made. */
export interface S3CallOptions {
  abortSignal?: AbortSignal;
}

/** A part of an object that is written in several. */
export interface S3PartRequest extends S3ObjectName {
  UploadId: string;
  PartNumber: number;
  Body: Uint8Array;
}

/** What makes an object of its parts. */
export interface S3CompleteRequest extends S3ObjectName {
  UploadId: string;
  MultipartUpload: { Parts: { ETag?: string; PartNumber: number }[] };
}

/** Which objects are the files. */
export interface S3FilesOptions {
  /** An `S3` of `@aws-sdk/client-s3`, with the credentials, region and endpoint of the host's. */
  readonly client: S3Client;
  readonly bucket: string;
  /** What the keys of the files begin with; paths are what comes after it and a slash. @default the bucket's topmost level */
  readonly folder?: string;
}

const optionRules = {
  client: objectWith(["listObjectsV2", "getObject", "headObject", "putObject"], "an S3 of @aws-sdk/client-s3"),
  bucket: v.pipe(string, v.minLength(1)),
  folder: v.optional(string),
};

/** Bytes of a part; larger files are written in several. S3 takes 10,000 parts, of at least 5 MiB but for the last. */
const partBytes = 16 * 1024 * 1024;

/**
 * The objects of a bucket as files: listed, read from any byte on, replaced as a whole, moved and removed. None can be added
 * to, as S3 has no such request. Requests are repeated by the client itself, as it is configured.
 *
 * @throws `invalid_option` for an option that is missing or out of range.
 */
export function s3Files(options: S3FilesOptions): FileSystem {
  validate(options, optionRules, InvalidOptionError, "s3Files.");
  const bucket = new Bucket(options);
  return {
    list: (folder, signal) => bucket.list(folder, signal),
    read: (path, start, end) => bucket.read(path, start, end),
    write: (path, bytes) => bucket.write(path, bytes),
    sizeOf: (path) => bucket.sizeOf(path),
    move: (from, to) => bucket.move(from, to),
    remove: (path) => bucket.remove(path),
  };
}

class Bucket {
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;

  constructor({ client, bucket, folder = "" }: S3FilesOptions) {
    this.#client = client;
    this.#bucket = bucket;
    this.#prefix = folder === "" || folder.endsWith("/") ? folder : `${folder}/`;
  }

  async list(folder: string, signal: AbortSignal): Promise<readonly FileEntry[]> {
    const files: FileEntry[] = [];
    const Prefix = this.#prefix + (folder === "" ? "" : `${folder}/`);
    let token: string | undefined;
    do {
      signal.throwIfAborted();
      const request = { Bucket: this.#bucket, Prefix, ...(token === undefined ? {} : { ContinuationToken: token }) };
      const found = await this.#call(folder, () => this.#client.listObjectsV2(request, { abortSignal: signal }));
      for (const { Key = "", Size = 0, LastModified } of found.Contents ?? [])
        // A key that ends with a slash stands for a folder, as consoles make them.
        if (!Key.endsWith("/"))
          files.push({ path: Key.slice(this.#prefix.length), size: Size, modified: LastModified?.getTime() ?? 0 });
      token = found.IsTruncated === true ? found.NextContinuationToken : undefined;
    } while (token !== undefined);
    return files;
  }

  async *read(path: string, start: number, end?: number): AsyncGenerator<Uint8Array> {
    if (end !== undefined && end <= start) return;
    let body: AsyncIterable<Uint8Array>;
    try {
      const range =
        start === 0 && end === undefined ? {} : { Range: `bytes=${start}-${end === undefined ? "" : end - 1}` };
      const { Body } = await this.#call(path, () => this.#client.getObject({ ...this.#name(path), ...range }));
      if (Body === undefined) return;
      body = Body as AsyncIterable<Uint8Array>;
    } catch (error) {
      // It begins where the file ends.
      if (nameOf(error) === "InvalidRange") return;
      throw error;
    }
    try {
      yield* body;
    } catch (error) {
      throw outOfReach(path, error);
    }
  }

  async write(path: string, bytes: Uint8Array): Promise<void> {
    if (bytes.length > partBytes) await this.#writeParts(path, bytes);
    else await this.#call(path, () => this.#client.putObject({ ...this.#name(path), Body: bytes }));
  }

  // The file is there, as a whole, once the last request has succeeded.
  async #writeParts(path: string, bytes: Uint8Array): Promise<void> {
    const name = this.#name(path);
    const { UploadId = "" } = await this.#call(path, () => this.#client.createMultipartUpload(name));
    try {
      const parts: S3CompleteRequest["MultipartUpload"]["Parts"] = [];
      for (let at = 0, number = 1; at < bytes.length; at += partBytes, number++) {
        const part = { UploadId, PartNumber: number, Body: bytes.subarray(at, at + partBytes) };
        const { ETag } = await this.#call(path, () => this.#client.uploadPart({ ...name, ...part }));
        parts.push({ PartNumber: number, ...(ETag === undefined ? {} : { ETag }) });
      }
      const request = { ...name, UploadId, MultipartUpload: { Parts: parts } };
      await this.#call(path, () => this.#client.completeMultipartUpload(request));
    } catch (error) {
      // Parts that are left behind cost money. A rule of the bucket's can remove those of a process that died.
      await this.#client.abortMultipartUpload({ ...name, UploadId }).catch(() => undefined);
      throw error;
    }
  }

  async sizeOf(path: string): Promise<number | undefined> {
    try {
      return (await this.#call(path, () => this.#client.headObject(this.#name(path)))).ContentLength ?? 0;
    } catch (error) {
      if ((error as { code?: unknown }).code === "ENOENT") return undefined;
      throw error;
    }
  }

  // Copied and removed, since S3 has no other way: after a crash in between both are there.
  async move(from: string, to: string): Promise<void> {
    if ((await this.sizeOf(to)) !== undefined) throw unusable(to, "EEXIST", "there is a file already");
    const source = this.#name(from).Key.split("/").map(encodeURIComponent).join("/");
    const request = { ...this.#name(to), CopySource: `${this.#bucket}/${source}` };
    await this.#call(from, () => this.#client.copyObject(request));
    await this.#call(from, () => this.#client.deleteObject(this.#name(from)));
  }

  // Removing what is not there succeeds at S3.
  async remove(path: string): Promise<void> {
    await this.#call(path, () => this.#client.headObject(this.#name(path)));
    await this.#call(path, () => this.#client.deleteObject(this.#name(path)));
  }

  #name(path: string): S3ObjectName {
    return { Bucket: this.#bucket, Key: this.#prefix + path };
  }

  async #call<T>(path: string, request: () => Promise<T>): Promise<T> {
    try {
      return await request();
    } catch (error) {
      throw classified(`${this.#bucket}/${this.#prefix}${path}`, error);
    }
  }
}

const missing = new Set(["NoSuchKey", "NotFound"]);

function classified(place: string, error: unknown): unknown {
  const name = nameOf(error);
  const { httpStatusCode: status } = (error as { $metadata?: { httpStatusCode?: number } }).$metadata ?? {};
  if (missing.has(name)) return unusable(place, "ENOENT", name);
  if (name === "InvalidRange") return error;
  // Without a status no answer has come; but for credentials that the client does not find nothing was sent.
  if (name !== "CredentialsProviderError" && (status === undefined || isTransient(status, name)))
    return outOfReach(place, error);
  // NoSuchBucket is one of 404, and nothing that the next try finds.
  return unusable(place, "EACCES", `${name}: ${messageOf(error)}`);
}

function isTransient(status: number, name: string): boolean {
  return status >= 500 || status === 408 || status === 429 || /^(SlowDown|Throttling|RequestTimeout$)/.test(name);
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : "";
}
