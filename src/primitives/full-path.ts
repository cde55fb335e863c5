import { resolve } from 'node:path'
import { UsageError } from './errors.ts'

/** The absolute path of a file named relative to the working directory. @throws UsageError if that directory was deleted */
export function fullPath(name: string): string {
  try {
    return resolve(name)
  } catch (cause) {
    throw new UsageError(`${name} cannot be found: the working directory is gone`, {
      cause,
      hint: 'change to an existing directory, or give an absolute path',
    })
  }
}
