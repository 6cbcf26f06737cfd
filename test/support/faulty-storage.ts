import type { Storage } from "../../src/storage/storage.ts";
import { StorageFailedError } from "../../src/errors.ts";

/** How a storage call goes wrong. */
export type FaultMode =
  | "throws"
  | "is done, but reports failure"
  | "hangs"
  | "is done, but hangs"
  | "fails, and all others for a while"
  | "is done, but it and all others for a while report failure"
  | "fails, and all others for good";

/** Which call goes wrong, and how. */
export interface StorageFault {
  /** 1 for the first call. */
  readonly at: number;
  readonly mode: FaultMode;
  /** For an outage that ends: when it does, in milliseconds from its beginning. */
  readonly outageMs: number;
  readonly now: () => number;
}

/** A storage of which one call, or one stretch of calls, goes wrong. */
export interface FaultyStorage {
  readonly storage: Storage;
  /** The names of all methods called, in order; `close` is not counted. */
  readonly calls: readonly string[];
  /** Of these, those that went wrong. */
  readonly struck: readonly string[];
}

/** Counts the calls of `storage`, and makes one go wrong as `fault` says. */
export function faultyStorage(storage: Storage, fault?: StorageFault): FaultyStorage {
  const calls: string[] = [];
  const struck: string[] = [];
  let struckAt: number | undefined;
  const strikes = () => {
    if (fault === undefined || calls.length < fault.at) return false;
    struckAt ??= fault.now();
    const { mode, outageMs } = fault;
    if (mode === "fails, and all others for good") return true;
    return mode.includes("for a while") ? fault.now() - struckAt < outageMs : calls.length === fault.at;
  };
  const called = async (name: string, call: () => Promise<unknown>): Promise<unknown> => {
    calls.push(name);
    const place = `call ${calls.length}`;
    if (fault === undefined || !strikes()) return call();
    struck.push(name);
    const { mode } = fault;
    const isDone = mode.startsWith("is done");
    if (isDone) await call();
    if (mode.endsWith("hangs")) return new Promise(() => undefined);
    throw new StorageFailedError(name, new Error(isDone ? `the answer of ${place} was lost` : `${place} failed`));
  };
  const proxy = new Proxy(storage, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== "function") return member;
      const call = (...args: unknown[]) => Reflect.apply(member, target, args) as Promise<unknown>;
      if (typeof name !== "string" || name === "close") return call;
      return (...args: unknown[]) => called(name, () => call(...args));
    },
  });
  return { storage: proxy, calls, struck };
}
