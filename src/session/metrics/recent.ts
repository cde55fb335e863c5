/** An answer that is dear to make: it is made once for all that ask at a time, and given again for a while. */
export class Recent<T> {
  readonly #make: () => Promise<T>
  readonly #forMs: number
  #answer: Promise<T> | undefined

  /** @param forMs how long an answer is given again, from the moment it is there */
  constructor(make: () => Promise<T>, forMs: number) {
    this.#make = make
    this.#forMs = forMs
  }

  async read(): Promise<T> {
    this.#answer ??= this.#make().finally(() => setTimeout(() => (this.#answer = undefined), this.#forMs).unref())
    return this.#answer
  }
}
