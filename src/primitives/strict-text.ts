import { UsageError } from './errors.ts'

/** Fails at bytes that are no UTF-8, and drops a byte order mark. */
const utf8 = new TextDecoder('utf-8', { fatal: true })

const REPLACEMENT = '\ufffd'
const REPLACEMENT_BYTES = Buffer.from(REPLACEMENT)
const UTF_16_MARKS = [Buffer.from([0xff, 0xfe]), Buffer.from([0xfe, 0xff])]

/**
 * The text that a user's file, or a line of one, has: UTF-8, without its byte order mark. Nothing is replaced or guessed.
 * @param name what the bytes are, for the message
 * @param firstLine the number of the bytes' first line
 * @throws UsageError that names the first byte that is no UTF-8, and its place
 */
export function toText(bytes: Uint8Array, name: string, firstLine = 1): string {
  try {
    return utf8.decode(bytes)
  } catch (cause) {
    const isUtf16 = UTF_16_MARKS.some((mark) => mark.equals(bytes.subarray(0, mark.byteLength)))
    throw new UsageError(`${name} is not UTF-8: ${placeOfFault(bytes, firstLine)}`, {
      cause,
      hint: isUtf16 ? 'it is UTF-16: save it as UTF-8' : 'save it as UTF-8',
    })
  }
}

/** As "byte 0xe4 at line 2, column 5". */
function placeOfFault(bytes: Uint8Array, firstLine: number): string {
  const offset = offsetOfFault(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
  const before = Buffer.from(bytes.subarray(0, offset)).toString().split('\n')
  const column = [...(before.at(-1) as string)].length + 1
  return `byte 0x${(bytes[offset] ?? 0).toString(16).padStart(2, '0')} at line ${firstLine + before.length - 1}, column ${column}`
}

/** Of the first byte that a lenient reader replaces. A text may hold the character that it is replaced by. */
function offsetOfFault(bytes: Buffer): number {
  const lenient = bytes.toString()
  let [offset, from] = [0, 0]
  for (let at = lenient.indexOf(REPLACEMENT); at >= 0; at = lenient.indexOf(REPLACEMENT, from)) {
    offset += Buffer.byteLength(lenient.slice(from, at))
    if (!bytes.subarray(offset, offset + REPLACEMENT_BYTES.byteLength).equals(REPLACEMENT_BYTES)) {
      break
    }
    offset += REPLACEMENT_BYTES.byteLength
    from = at + REPLACEMENT.length
  }
  return offset
}
