import type { DescExtension, DescField, DescMessage, JsonObject, JsonValue, Registry } from '@bufbuild/protobuf'

/** A field of a message, or one that another file added to it. */
export type AnyField = DescField | DescExtension

/** The field that a key of protobuf JSON names: by its name there, or in the file; `[name]` is an extension. */
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

/** The path of a key, as `outer.inner`. */
export function join(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`
}
