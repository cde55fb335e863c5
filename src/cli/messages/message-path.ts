import type { DescExtension, DescField, DescMessage, JsonObject, JsonValue, Registry } from '@bufbuild/protobuf'

/** A field of a message, or an extension from another file. */
export type AnyField = DescField | DescExtension

/** The field for a key of protobuf JSON: a JSON name, a name in the .proto file, or `[name]` for an extension. */
export function fieldOf(message: DescMessage, key: string, registry: Registry): AnyField | undefined {
  const field = message.fields.find(({ jsonName, name }) => jsonName === key || name === key)
  if (field != null || !key.startsWith('[')) {
    return field
  }
  const extension = registry.getExtension(key.slice(1, -1))
  return extension?.extendee.typeName === message.typeName ? extension : undefined
}

export function isObject(json: JsonValue | undefined): json is JsonObject {
  return json !== null && typeof json === 'object' && !Array.isArray(json)
}

/** The path of a nested key, such as `outer.inner`. */
export function join(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`
}
