/** A page of a list. */
export interface ListResult<T> {
  readonly items: readonly T[];
  /** To be handed back as `after` for the rest; absent at the end. */
  readonly next?: string;
  /** Of flows: those that match and cannot be read; absent: none. */
  readonly unreadable?: readonly string[];
}

/** Where a list goes on, and how much of it is wanted. */
export interface Paging {
  /** 1 to 1000. */
  readonly limit: number;
  /** A `next` returned before. */
  readonly after?: string;
}
