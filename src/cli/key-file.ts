import type { PrivateKey } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { ensureHome, type Home, reasonOf } from '../node/home/home.ts'
import { writeKeyFile } from '../node/home/identity.ts'
import { KnownKeys } from '../node/home/known-keys.ts'
import { UsageError } from '../primitives/errors.ts'
import { Declined } from './text/report.ts'

/** The printed answer of a key command; never contains the key itself. */
export interface KeyAnswer {
  peerId: string
  type: PrivateKey['type']
  file: string
}

export interface PutKeyOptions {
  home: Home
  /** Replaces an existing key without a question. */
  force: boolean
  /** Asks yes or no; undefined without a terminal. */
  confirm: ((question: string) => Promise<boolean>) | undefined
}

export function describeKey({ publicKey, type }: PrivateKey, file: string): KeyAnswer {
  return { peerId: peerIdFromPublicKey(publicKey).toString(), type, file }
}

/** Writes a key file for a command. @throws UsageError if an existing key is not to be replaced, or the file cannot be written */
export async function putKey(privateKey: PrivateKey, file: string, { home, force, confirm }: PutKeyOptions): Promise<KeyAnswer> {
  if (file === home.identityFile) {
    await ensureHome(home)
  }
  const write = async (replace: boolean): Promise<void> => writeKeyFile(file, privateKey, { replace })
  await write(force).catch(async (cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'EEXIST') {
      throw cannotWrite(file, cause)
    }
    if (confirm == null) {
      throw new UsageError(`there is a file already: ${file}`, {
        cause,
        hint: '--force replaces it; the peer ID of the old key is then lost for ever',
      })
    }
    if (!(await confirm(`Replace ${file}? The peer ID of a key in it is then lost for ever.`))) {
      throw new Declined(`${file} was left as it is`, { cause })
    }
    await write(true).catch((error) => Promise.reject(cannotWrite(file, error)))
  })
  await new KnownKeys(home).forget(file)
  return describeKey(privateKey, file)
}

function cannotWrite(file: string, cause: unknown): UsageError {
  return new UsageError(`the key ${file} cannot be written: ${reasonOf(cause)}`, { cause })
}
