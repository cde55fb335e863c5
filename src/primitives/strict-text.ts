import { UsageError } from './errors.ts'

/** Throws for invalid UTF-8, and drops a byte order mark. */
const utf8 = new TextDecoder('utf-8', { fatal: true })

const REPLACEMENT = '\ufffd'
const REPLACEMENT_BYTES = Buffer.from(REPLACEMENT)
const UTF_16_MARKS = [Buffer.from([0xff, 0xfe]), Buffer.from([0xfe, 0xff])]

/**
 * Decodes a user's file, or a line of a file: UTF-8, without its byte order mark. Nothing is replaced or guessed.
 * @param name the description of the bytes in the message
 * @param firstLine the line number at which the bytes begin
 * @throws UsageError with the first invalid byte and its position
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

/** For example "byte 0xe4 at line 2, column 5". */
function placeOfFault(bytes: Uint8Array, firstLine: number): string {
  const offset = offsetOfFault(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
  const before = Buffer.from(bytes.subarray(0, offset)).toString().split('\n')
  const column = [...(before.at(-1) as string)].length + 1
  return `byte 0x${(bytes[offset] ?? 0).toString(16).padStart(2, '0')} at line ${firstLine + before.length - 1}, column ${column}`
}

/** The offset of the first byte that a lenient decoder replaces. The text may contain the replacement character itself. */
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
