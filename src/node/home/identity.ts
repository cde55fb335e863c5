import { chmod, stat } from 'node:fs/promises'
import { generateKeyPair, generateKeyPairFromSeed, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { AtomicFile } from '../../primitives/atomic-file.ts'
import { collectBytes } from '../../primitives/collect-bytes.ts'
import { DEFAULT_TIMEOUT_MS, isDeadline } from '../../primitives/deadline.ts'
import { SubnetError, UsageError } from '../../primitives/errors.ts'
import { inputOf, type ReadOptions } from '../../primitives/input-file.ts'
import { ProtocolError } from '../../protocol/api/errors.ts'
import { isEcdsa } from './ecdsa-key.ts'
import { type Home, reasonOf } from './home.ts'
import { checkIntact, showsDamage } from './intact-key.ts'
import { KnownKeys } from './known-keys.ts'

/** The protobuf header of an Ed25519 key with only its 32-byte seed, in py-libp2p's format: type 1, 32 bytes of data. */
const SEED_HEADER = Buffer.from([0x08, 0x01, 0x12, 0x20])
const SEED_BYTES = 32
/** The type field of an RSA key. Its value is the default, so py-libp2p omits the field, and its RSA keys begin with the data field. */
const RSA_TYPE = Buffer.from([0x08, 0x00])
const DATA_TAG = 0x12
const MAX_KEY_FILE_BYTES = 16 * 1024

/**
 * Reads a private key file: a libp2p PrivateKey protobuf (ed25519, secp256k1, rsa), or py-libp2p's formats of ed25519 (36 bytes) and rsa
 * (without type).
 * @throws UsageError, ProtocolError TIMEOUT
 */
export async function readKeyFile(file: string, options: ReadOptions = {}): Promise<PrivateKey> {
  return (await readParsed(bytesOf(file, options), `key file ${file}`)).key
}

function bytesOf(file: string, options: ReadOptions): AsyncIterable<Uint8Array> {
  return inputOf(file, { ...options, timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS })
}

/** Reads a private key from any source. @param name of the source, for error messages @throws UsageError; errors of `source` */
export async function readKey(source: AsyncIterable<Uint8Array>, name: string): Promise<PrivateKey> {
  return (await readParsed(source, name)).key
}

async function readParsed(source: AsyncIterable<Uint8Array>, name: string): Promise<ParsedKey> {
  try {
    return await parseKey(await collectBytes(source, { maxBytes: MAX_KEY_FILE_BYTES }))
  } catch (cause) {
    if (cause instanceof SubnetError) {
      throw cause
    }
    if (isDeadline(cause)) {
      throw new ProtocolError('TIMEOUT', `${name} did not end in time`, { cause, hint: '--timeout DUR allows more time' })
    }
    // the bytes are not shown, because they may be a key in an unknown format
    throw new UsageError(`${name} cannot be read: ${reasonOf(cause)}`, {
      cause,
      hint: 'a key file is a libp2p private key in protobuf form; "subnet key new --key FILE" makes one',
    })
  }
}

interface ParsedKey {
  key: PrivateKey
  /** False if any change of the file would yield another peer's valid key. */
  showsDamage: boolean
}

async function parseKey(bytes: Uint8Array): Promise<ParsedKey> {
  if (bytes.byteLength === SEED_HEADER.byteLength + SEED_BYTES && SEED_HEADER.equals(bytes.subarray(0, SEED_HEADER.byteLength))) {
    return { key: await generateKeyPairFromSeed('Ed25519', bytes.subarray(SEED_HEADER.byteLength)), showsDamage: false }
  }
  if (isEcdsa(bytes)) {
    throw new Error("an ECDSA key cannot be a peer's identity: use an ed25519, secp256k1 or rsa key")
  }
  let key: PrivateKey
  try {
    key = privateKeyFromProtobuf(bytes[0] === DATA_TAG ? Buffer.concat([RSA_TYPE, bytes]) : bytes)
  } catch {
    throw new Error('not a libp2p private key')
  }
  if (key.type !== 'Ed25519' && key.type !== 'secp256k1' && key.type !== 'RSA') {
    throw new Error(`a key of type ${key.type} cannot be a peer's identity`)
  }
  await checkIntact(key, bytes)
  return { key, showsDamage: showsDamage(key) }
}

/** Generates an Ed25519 key. */
export async function newKey(): Promise<PrivateKey> {
  return generateKeyPair('Ed25519')
}

/** Writes a key file atomically with mode 0600, as a libp2p PrivateKey protobuf. @throws EEXIST unless `replace` */
export async function writeKeyFile(file: string, privateKey: PrivateKey, options: { replace?: boolean } = {}): Promise<void> {
  const output = await AtomicFile.open(file, 0o600)
  try {
    await output.write(privateKeyToProtobuf(privateKey))
    await (options.replace === true ? output.commit() : output.commitNew())
  } finally {
    await output.discard()
  }
}

/**
 * Loads the key of a home: from the given file, or the home's own, which is created if missing. Safe for concurrent processes. The peer ID
 * of a key without redundancy is recorded.
 * @throws UsageError, ProtocolError TIMEOUT
 */
export async function loadIdentity(home: Home, keyFile?: string, options: ReadOptions = {}): Promise<PrivateKey> {
  if (keyFile != null) {
    return readKnown(home, keyFile, options)
  }
  try {
    const { mode } = await stat(home.identityFile)
    if ((mode & 0o077) !== 0) {
      await chmod(home.identityFile, 0o600)
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw cannotUse(home.identityFile, error)
    }
    try {
      const made = await newKey()
      await writeKeyFile(home.identityFile, made)
      return made
    } catch (raced) {
      if ((raced as NodeJS.ErrnoException).code !== 'EEXIST') {
        throw cannotUse(home.identityFile, raced)
      }
    }
  }
  return readKnown(home, home.identityFile, options)
}

async function readKnown(home: Home, file: string, options: ReadOptions): Promise<PrivateKey> {
  const { key, showsDamage } = await readParsed(bytesOf(file, options), `key file ${file}`)
  await new KnownKeys(home).check(file, peerIdFromPublicKey(key.publicKey).toString(), showsDamage)
  return key
}

function cannotUse(file: string, cause: unknown): UsageError {
  return new UsageError(`key file ${file} cannot be read or written: ${reasonOf(cause)}`, {
    cause,
    hint: '--home or --key names another place',
  })
}
