import { type DescField, type DescMessage, fromBinary, fromJsonString, type JsonValue, toBinary, toJson } from '@bufbuild/protobuf'
import { isWrapperDesc } from '@bufbuild/protobuf/wkt'
import { describeError, UsageError } from '../../primitives/errors.ts'
import { ProtocolError } from '../../protocol/api/errors.ts'
import { ChangeFinder } from './changed-values.ts'
import { FaultFinder } from './message-fault.ts'
import type { DynamicSchemas } from './message-schemas.ts'
import { scalarOf } from './scalar-json.ts'
import { parseTyped, type TypedJson } from './typed-json.ts'

/** The maximum size of an answer shown with its extensions, in bytes. An unknown field of two bytes or more takes about 170 in memory. */
export const MAX_BYTES_WITH_EXTENSIONS = 1 << 20
/** Limits of an example: nested messages, and fields in total. */
const MAX_DEPTH = 6
const MAX_EXAMPLE_FIELDS = 500

/**
 * Encodes protobuf JSON without changing any value.
 * @param about a note on the origin of the fields, for a hint that names them
 * @throws UsageError that names the path of the field and the expected type
 */
export function encodeRequest(text: string, { request, registry }: DynamicSchemas, about?: string): Uint8Array {
  const hint = `--data is a ${request.typeName} in protobuf JSON`
  let typed: TypedJson
  try {
    typed = parseTyped(text)
  } catch (cause) {
    throw new UsageError(`--data is not JSON: ${describeError(cause)}`, { cause, hint })
  }
  let bytes: Uint8Array
  try {
    bytes = toBinary(request, fromJsonString(request, text, { registry }))
  } catch (cause) {
    const problem = describeError(cause)
    // at this depth each field alone would fail as well, and so would the search for the first fault
    const tooDeep = cause instanceof RangeError || problem.includes('maximum recursion depth')
    const finder = new FaultFinder(registry, typed)
    const fault = tooDeep ? { problem: 'nested too deeply' } : (finder.inMessage(request, typed.json, '') ?? { problem })
    const fields = [fault.hint, about].filter((part) => part != null).join('; ')
    throw new UsageError(`--data: ${fault.problem}`, { cause, hint: fault.hint == null ? hint : fields })
  }
  const change = new ChangeFinder(registry, typed).inMessage(request, typed.json, '')
  if (change != null) {
    throw new UsageError(`--data: ${change.problem}`, { hint: change.hint ?? hint })
  }
  return bytes
}

/**
 * Decodes an answer to protobuf JSON. Fields outside the schema are not shown.
 * @throws ProtocolError REMOTE_FAILED for invalid bytes
 */
export function decodeResponse(bytes: Uint8Array, known: DynamicSchemas, options: { emitDefaults: boolean }): JsonValue {
  const { response, registry } = known
  try {
    // extensions arrive as unknown fields, and many unknown fields take far more memory than their bytes
    const readUnknownFields = known.hasExtensions && !hidesExtensions(bytes, known)
    return toJson(response, fromBinary(response, bytes, { readUnknownFields }), { registry, alwaysEmitImplicit: options.emitDefaults })
  } catch (cause) {
    throw new ProtocolError('REMOTE_FAILED', `the answer is not a valid ${response.typeName}: ${describeError(cause)}`, { cause })
  }
}

/** True for an answer too large to be shown with the extensions that it may have. */
export function hidesExtensions(bytes: Uint8Array, { hasExtensions }: DynamicSchemas): boolean {
  return hasExtensions && bytes.byteLength > MAX_BYTES_WITH_EXTENSIONS
}

/** Example JSON with every field of a message, and one field of each oneof. A message nested in itself is left empty. */
export function exampleOf(message: DescMessage): JsonValue {
  let left = MAX_EXAMPLE_FIELDS
  const fieldValue = (field: DescField, above: DescMessage[]): JsonValue => {
    const one =
      field.message != null
        ? inMessage(field.message, above)
        : field.enum != null
          ? (field.enum.values[0]?.name ?? 0)
          : scalarOf(field.scalar)
    return field.fieldKind === 'list' ? [one] : field.fieldKind === 'map' ? { [String(scalarOf(field.mapKey))]: one } : one
  }
  const inMessage = (message: DescMessage, above: DescMessage[]): JsonValue => {
    if (Object.hasOwn(OWN_JSON, message.typeName)) {
      return OWN_JSON[message.typeName] as JsonValue
    }
    if (isWrapperDesc(message)) {
      return scalarOf(message.fields[0]?.scalar)
    }
    if (above.includes(message) || above.length > MAX_DEPTH) {
      return {}
    }
    const shown = message.fields.filter((field) => field.oneof == null || field.oneof.fields[0] === field)
    return Object.fromEntries(shown.flatMap((field) => (left-- > 0 ? [[field.jsonName, fieldValue(field, [...above, message])]] : [])))
  }
  return inMessage(message, [])
}

/** Protobuf's well-known messages whose JSON is not an object of fields. */
const OWN_JSON: Record<string, JsonValue> = {
  'google.protobuf.Any': {},
  'google.protobuf.Duration': '0s',
  'google.protobuf.FieldMask': '',
  'google.protobuf.ListValue': [],
  'google.protobuf.Struct': {},
  'google.protobuf.Timestamp': '1970-01-01T00:00:00Z',
  'google.protobuf.Value': null,
}
