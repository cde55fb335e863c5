/** A queue between one producer and one consumer. The consumer takes all queued items at once, up to a size. */
export class Outbox<T> {
  readonly #items: Array<{ item: T; bytes: number }> = []
  #bytes = 0
  #ended: { error: unknown } | undefined
  #changed = Promise.withResolvers<void>()

  /** The bytes that are queued. */
  get bytes(): number {
    return this.#bytes
  }

  push(item: T, bytes: number): void {
    this.#items.push({ item, bytes })
    this.#bytes += bytes
    this.#tell()
  }

  /** Ends the queue; queued items can still be taken. */
  end(error?: unknown): void {
    this.#ended ??= { error }
    this.#tell()
  }

  /** Waits for the first item, and takes the queued items, up to `maxBytes`; undefined at the end. @throws the error passed to `end` */
  async take(maxBytes: number): Promise<T[] | undefined> {
    while (this.#items.length === 0) {
      if (this.#ended != null) {
        if (this.#ended.error != null) {
          throw this.#ended.error
        }
        return undefined
      }
      await this.#change()
    }
    let bytes = 0
    const full = this.#items.findIndex((entry, index) => {
      bytes += entry.bytes
      return index > 0 && bytes > maxBytes
    })
    const taken = this.#items.splice(0, full < 0 ? this.#items.length : full)
    this.#bytes -= taken.reduce((sum, entry) => sum + entry.bytes, 0)
    this.#tell()
    return taken.map(({ item }) => item)
  }

  async *items(): AsyncGenerator<T> {
    for (let taken = await this.take(0); taken != null; taken = await this.take(0)) {
      yield* taken
    }
  }

  /** Waits until at most `maxBytes` are queued, or the queue has ended. */
  async room(maxBytes: number): Promise<void> {
    while (this.#bytes > maxBytes && this.#ended == null) {
      await this.#change()
    }
  }

  async #change(): Promise<void> {
    await this.#changed.promise
  }

  #tell(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }
}
