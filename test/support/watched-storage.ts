import type { Storage } from "../../src/storage/storage.ts";

type Methods = Omit<
  Storage,
  "capabilities" | "location" | "clock" | "unreadable" | "wakes" | "changes" | "bell" | "close"
>;

/** One call of a storage; `answer` is absent before it is made. */
export type WatchedCall = {
  [Name in keyof Methods]: {
    readonly name: Name;
    readonly args: Parameters<Methods[Name]>;
    readonly answer?: Awaited<ReturnType<Methods[Name]>>;
  };
}[keyof Methods];

/** A storage of which somebody hears before each call and after it, and may keep it from going on. */
export function watchedStorage(storage: Storage, watch: Watch): Storage {
  return new Proxy(storage, {
    get(target, name) {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== "function" || typeof name !== "string") return method;
      if (name === "close") return () => target.close();
      return async (...args: unknown[]) => {
        // The proxy stands for exactly the methods of `Storage`, so name, arguments and answer belong together.
        await watch.before({ name, args } as unknown as WatchedCall);
        const answer: unknown = await Reflect.apply(method, target, args);
        await watch.after({ name, args, answer } as unknown as WatchedCall);
        return answer;
      };
    },
  });
}

/** What hears of the calls. */
export interface Watch {
  before(call: WatchedCall): Promise<void> | void;
  after(call: WatchedCall): Promise<void> | void;
}
