import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import type { ChainSigner } from '../../chain/registry.ts'
import { UsageError } from '../../primitives/errors.ts'
import { reasonOf } from './home.ts'

const MAX_FILE_BYTES = 1_024
const LOOKS_LIKE_A_KEY = /^(?:0x)?[0-9a-f]{64}$/i
const HINT = 'the file holds 32 bytes in hex, and only its owner may read it (chmod 600)'

/**
 * Checks the setting that names the key file. A key itself is refused, because command lines, environments and configs are visible to
 * others. @throws UsageError whose message does not contain the key
 */
export function checkOwnerKeyName(name: string | undefined): string {
  if (name == null || name === '') {
    throw new UsageError('expected the name of a file', { hint: HINT })
  }
  if (LOOKS_LIKE_A_KEY.test(name.trim())) {
    throw new UsageError('this is a key itself: name the file that holds the key', {
      hint: `use a new key, because others may have seen this one; ${HINT}`,
    })
  }
  return name
}

/** Reads the account of a key file. @throws UsageError for a file that others can read, or without a valid key */
export async function readOwnerKey(file: string): Promise<ChainSigner> {
  const text = await readPrivate(file)
  return parseOwnerKey(text, `owner key ${file}`)
}

/**
 * Parses the account of a hexadecimal key. @param name of the source, for error messages @throws UsageError whose message does not contain
 * the text
 */
export async function parseOwnerKey(text: string, name: string): Promise<ChainSigner> {
  const { AccountKey } = await import('../../chain/hypertensor/writing/account-key.ts')
  try {
    return AccountKey.parse(text)
  } catch (error) {
    throw new UsageError(`${name} cannot be used: ${(error as Error).message}`, { hint: HINT })
  }
}

async function readPrivate(file: string): Promise<string> {
  try {
    // does not block on a pipe, which is refused
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      const stat = await handle.stat()
      if (!stat.isFile()) {
        throw new UsageError(`owner key ${file} is not a regular file`, { hint: HINT })
      }
      if ((stat.mode & 0o077) !== 0) {
        const mode = (stat.mode & 0o777).toString(8).padStart(4, '0')
        throw new UsageError(`owner key ${file} can be read by others (mode ${mode}): it is not used`, { hint: `chmod 600 ${file}` })
      }
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAX_FILE_BYTES), 0, MAX_FILE_BYTES, 0)
      return buffer.toString('latin1', 0, bytesRead)
    } finally {
      await handle.close()
    }
  } catch (cause) {
    throw cause instanceof UsageError
      ? cause
      : new UsageError(`owner key ${file} cannot be read: ${reasonOf(cause)}`, { cause, hint: '--owner-key names another file' })
  }
}
