/**
 * Open failures at the imports of a flow, as far as it matters to a run whether they are too many. Counting them takes as
 * long as there are many, so it is done again only when half of the room that was left may be taken.
 */
export class OpenCount {
  readonly #count: (_importId: string) => Promise<number>;
  readonly #most: number;
  readonly #known = new Map<string, { readonly open: number; added: number }>();

  constructor(most: number, count: (_importId: string) => Promise<number>) {
    this.#most = most;
    this.#count = count;
  }

  /** Whether so many more are too many. It is to be given all that the run stores. */
  async isOver(_importId: string, numNew: number): Promise<boolean> {
    const known = this.#known.get(_importId);
    if (known !== undefined && known.added + numNew <= (this.#most - known.open) / 2) {
      known.added += numNew;
      return false;
    }
    const open = await this.#count(_importId);
    this.#known.set(_importId, { open, added: numNew });
    return open + numNew > this.#most;
  }
}
