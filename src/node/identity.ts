import { createReadStream } from 'node:fs'
import { chmod, stat } from 'node:fs/promises'
import { generateKeyPair, generateKeyPairFromSeed, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { AtomicFile } from '../primitives/atomic-file.ts'
import { UsageError } from '../primitives/errors.ts'
import { type Home, reasonOf } from './home.ts'

/** The protobuf header of an Ed25519 key that holds the 32-byte seed only, as py-libp2p writes it: type 1, 32 bytes of data. */
const SEED_HEADER = Buffer.from([0x08, 0x01, 0x12, 0x20])
const SEED_BYTES = 32
const MAX_KEY_FILE_BYTES = 16 * 1024

/**
 * Reads a private key file: a libp2p PrivateKey protobuf (ed25519, secp256k1, rsa), or py-libp2p's 36-byte form of ed25519.
 * @throws UsageError
 */
export async function readKeyFile(file: string): Promise<PrivateKey> {
  try {
    return await parseKey(await readSome(file, MAX_KEY_FILE_BYTES))
  } catch (cause) {
    // never the bytes: they may be a key in a form that is not known here
    throw new UsageError(`key file ${file} cannot be read: ${reasonOf(cause)}`, {
      cause,
      hint: 'a key file is a libp2p private key in protobuf form; "subnet key new --key FILE" makes one',
    })
  }
}

/** A file of any kind, a pipe too. @throws Error when it is longer than `maxBytes` */
async function readSome(file: string, maxBytes: number): Promise<Uint8Array> {
  const chunks: Buffer[] = await createReadStream(file, { end: maxBytes }).toArray()
  const bytes = Buffer.concat(chunks)
  if (bytes.byteLength > maxBytes) {
    throw new Error(`more than ${maxBytes} bytes are no key`)
  }
  return bytes
}

async function parseKey(bytes: Uint8Array): Promise<PrivateKey> {
  if (bytes.byteLength === SEED_HEADER.byteLength + SEED_BYTES && SEED_HEADER.equals(bytes.subarray(0, SEED_HEADER.byteLength))) {
    return generateKeyPairFromSeed('Ed25519', bytes.subarray(SEED_HEADER.byteLength))
  }
  let key: PrivateKey
  try {
    key = privateKeyFromProtobuf(bytes)
  } catch {
    throw new Error('not a libp2p private key')
  }
  if (key.type !== 'Ed25519' && key.type !== 'secp256k1' && key.type !== 'RSA') {
    throw new Error(`a key of type ${key.type} cannot be a peer's identity`)
  }
  return key
}

/** Makes an Ed25519 key file (0600), whole or not at all. @throws EEXIST unless `replace` */
export async function writeNewKey(file: string, options: { replace?: boolean } = {}): Promise<PrivateKey> {
  const privateKey = await generateKeyPair('Ed25519')
  const output = await AtomicFile.open(file, 0o600)
  try {
    await output.write(privateKeyToProtobuf(privateKey))
    await (options.replace === true ? output.commit() : output.commitNew())
    return privateKey
  } finally {
    await output.discard()
  }
}

/** The key of a home: the file named, or the home's own, made when it is missing. Many processes may do this at once. */
export async function loadIdentity(home: Home, keyFile?: string): Promise<PrivateKey> {
  if (keyFile != null) {
    return readKeyFile(keyFile)
  }
  try {
    const { mode } = await stat(home.identityFile)
    if ((mode & 0o077) !== 0) {
      await chmod(home.identityFile, 0o600)
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw error
    }
    try {
      return await writeNewKey(home.identityFile)
    } catch (raced) {
      if ((raced as NodeJS.ErrnoException).code !== 'EEXIST') {
        throw raced
      }
    }
  }
  return readKeyFile(home.identityFile)
}
