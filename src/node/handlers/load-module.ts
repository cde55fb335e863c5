import { stat } from 'node:fs/promises'
import { pathToFileURL } from 'node:url'
import { textOf, UsageError } from '../../primitives/errors.ts'
import { fullPath } from '../../primitives/full-path.ts'

type Exported = (...args: unknown[]) => unknown

/**
 * Loads the default export of a JS or TS module: a function or a class.
 * @param spec path, relative to the working directory
 * @param what handler or protocol, for error messages
 * @param method name of a method: an object with it is accepted instead of a function
 * @throws UsageError
 */
export async function loadModule(spec: string, what: string, hint: string, method?: string): Promise<Exported> {
  const file = fullPath(spec)
  const found = await stat(file).catch(() => undefined)
  if (found?.isFile() !== true) {
    throw new UsageError(`no such ${what}: ${JSON.stringify(spec)}`, { hint })
  }
  let loaded: { default?: unknown }
  try {
    loaded = await import(pathToFileURL(file).href)
  } catch (cause) {
    throw new UsageError(`${what} ${spec} cannot be loaded: ${textOf(cause)}`, { cause })
  }
  const object = loaded.default as Record<string, unknown> | null | undefined
  if (typeof object !== 'function' && (method == null || typeof object?.[method] !== 'function')) {
    throw new UsageError(`${what} ${spec} has no function as its default export`, { hint })
  }
  return loaded.default as Exported
}
