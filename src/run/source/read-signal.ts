// A reason of our own: the default one is an exception with a stack, made anew each time.
const readingEnds = new Error("the run reads no more");

/** Aborts with the run, or when nothing more is to be read; made only if the export asks for it. */
export class ReadSignal {
  readonly #run: AbortSignal;
  readonly #abort = () => this.#controller?.abort(this.#run.reason ?? readingEnds);
  #controller: AbortController | undefined;
  #ended = false;

  constructor(run: AbortSignal) {
    this.#run = run;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#run.aborted || this.#ended) this.#abort();
      else this.#run.addEventListener("abort", this.#abort);
    }
    return this.#controller.signal;
  }

  /** Aborts it, unless it is aborted. */
  end(): void {
    this.#ended = true;
    if (this.#controller === undefined) return;
    this.#run.removeEventListener("abort", this.#abort);
    this.#abort();
  }
}
