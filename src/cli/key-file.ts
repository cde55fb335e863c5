import type { PrivateKey } from '@libp2p/interface'
import { ensureHome, type Home, reasonOf } from '../node/home.ts'
import { writeNewKey } from '../node/identity.ts'
import { UsageError } from '../primitives/errors.ts'

/** Makes a key file for a command. @throws UsageError when there is one already, or it cannot be written */
export async function makeKey(home: Home, file: string, replace: boolean): Promise<PrivateKey> {
  if (file === home.identityFile) {
    await ensureHome(home)
  }
  try {
    return await writeNewKey(file, { replace })
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') {
      throw new UsageError(`there is a key already: ${file}`, { cause, hint: '--force replaces it; its peer ID is then lost for ever' })
    }
    throw new UsageError(`the key ${file} cannot be written: ${reasonOf(cause)}`, { cause })
  }
}
