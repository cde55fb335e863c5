/** Control characters that no text has: all but those that move the cursor, ring, or begin a colour. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const NO_TEXT = /[\u0000-\u0006\u000e-\u001a\u001c-\u001f\u007f]/

/** Tells whether bytes are a text, as they come: UTF-8, without control characters that no text has. */
export class TextCheck {
  readonly #decoder = new TextDecoder('utf-8', { fatal: true })

  /** Whether all so far may be the begin of one. */
  take(bytes: Uint8Array): boolean {
    return this.#holds(bytes)
  }

  /** Whether it is one: the last character is whole. */
  end(): boolean {
    return this.#holds()
  }

  #holds(bytes?: Uint8Array): boolean {
    try {
      return !NO_TEXT.test(this.#decoder.decode(bytes, { stream: bytes != null }))
    } catch {
      return false
    }
  }
}
