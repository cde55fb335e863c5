/** A cached value that is expensive to compute: concurrent callers share one computation, and the value stays valid for a while. */
export class Recent<T> {
  readonly #make: () => Promise<T>
  readonly #forMs: number
  #answer: Promise<T> | undefined

  /** @param forMs how long a value stays valid after its computation */
  constructor(make: () => Promise<T>, forMs: number) {
    this.#make = make
    this.#forMs = forMs
  }

  async read(): Promise<T> {
    this.#answer ??= this.#make().finally(() => setTimeout(() => (this.#answer = undefined), this.#forMs).unref())
    return this.#answer
  }
}
