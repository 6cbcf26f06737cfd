// What the guides take for granted of their reader's application: in scope of every `ts` block in README.md and docs.
// A block that declares one of these names itself shadows it. Outside the project's own program, so nothing else sees it.
export {};

declare global {
  interface Order {
    readonly id: string;
    readonly number: number;
    readonly email: string;
    readonly total: number;
    readonly currency: string;
    readonly paid: boolean;
  }

  /** Where the orders are read from. */
  const shop: {
    /** Ascending by `number`; none at the end. */
    ordersAfter(number: number, limit: number, options?: { readonly signal?: AbortSignal }): Promise<readonly Order[]>;
    /** Calls `listener` with each new order; the answer stops that. */
    onOrder(listener: (order: Order) => void): () => void;
  };

  /** Where the orders are written to. */
  const erp: {
    upsert(
      records: readonly object[],
      options?: { readonly keys?: readonly string[]; readonly signal?: AbortSignal },
    ): Promise<void>;
  };
}

// As @koa/bodyparser declares it.
declare module "koa" {
  interface Request {
    rawBody?: string;
  }
}
