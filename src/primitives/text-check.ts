/** Control characters that do not occur in text. Cursor movement, bell and escape (for colours) are permitted. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const NO_TEXT = /[\u0000-\u0006\u000e-\u001a\u001c-\u001f\u007f]/

/** Checks chunks of bytes for text: UTF-8 without unusual control characters. */
export class TextCheck {
  readonly #decoder = new TextDecoder('utf-8', { fatal: true })

  /** True if all bytes so far can be the beginning of a text. */
  take(bytes: Uint8Array): boolean {
    return this.#holds(bytes)
  }

  /** True if the bytes are a text: the last character is complete. */
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
