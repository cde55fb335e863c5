import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { chmod, mkdir, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { generateKeyPair, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import * as varint from 'uint8-varint'
import { putKey } from '../../../src/cli/key-file.ts'
import { homeAt } from '../../../src/node/home/home.ts'
import { loadIdentity, newKey, readKey, readKeyFile, writeKeyFile } from '../../../src/node/home/identity.ts'
import { UsageError } from '../../../src/primitives/errors.ts'
import { OTHER_PEER_ID, PEER_ID, seedFile } from '../../support/seeds.ts'
import { TempFolders } from '../../support/temp.ts'

function peerIdOf({ publicKey }: PrivateKey): string {
  return peerIdFromPublicKey(publicKey).toString()
}

describe('identity keys', function () {
  this.timeout(30_000)
  const folders = new TempFolders()
  let folder: string

  beforeEach(async () => {
    folder = await folders.make()
  })

  after(async () => folders.clean())

  it('are read in the 36-byte form of py-libp2p', async () => {
    await seedFile(join(folder, 'a'), PEER_ID)
    await seedFile(join(folder, 'b'), OTHER_PEER_ID)
    assert.equal(peerIdOf(await readKeyFile(join(folder, 'a'))), PEER_ID)
    assert.equal(peerIdOf(await readKeyFile(join(folder, 'b'))), OTHER_PEER_ID)
  })

  for (const type of ['Ed25519', 'secp256k1', 'RSA'] as const) {
    it(`are read as js-libp2p writes them: ${type}`, async () => {
      const key: PrivateKey = type === 'RSA' ? await generateKeyPair(type, 2_048) : await generateKeyPair(type as 'Ed25519')
      await writeFile(join(folder, 'key'), privateKeyToProtobuf(key))
      const read = await readKeyFile(join(folder, 'key'))
      assert.deepEqual([read.type, peerIdOf(read)], [type, peerIdOf(key)])
    })
  }

  for (const bits of [1_024, 2_048, 4_096]) {
    it(`are read as py-libp2p writes them: RSA of ${bits} bits, without a type`, async () => {
      const { privateKey } = generateKeyPairSync('rsa', { modulusLength: bits })
      const der = privateKey.export({ format: 'der', type: 'pkcs1' })
      await writeFile(join(folder, 'key'), Buffer.concat([Buffer.from([0x12]), varint.encode(der.byteLength), der]))
      await writeFile(join(folder, 'typed'), Buffer.concat([Buffer.from([0x08, 0x00, 0x12]), varint.encode(der.byteLength), der]))
      const read = await readKeyFile(join(folder, 'key'))
      assert.deepEqual([read.type, peerIdOf(read)], ['RSA', peerIdOf(await readKeyFile(join(folder, 'typed')))])
      // and it can be written, and signs
      await writeKeyFile(join(folder, 'again'), read)
      const again = await readKeyFile(join(folder, 'again'))
      assert.ok(await read.publicKey.verify(Buffer.from('hello'), await again.sign(Buffer.from('hello'))))
    })
  }

  // of the test vectors for peer IDs of libp2p
  const ECDSA_KEY = Buffer.from(
    '08031279307702010104203e5b1fe9712e6c314942a750bd67485de3c1efe85b1bfb520ae8f9ae3dfa4a4ca00a06082a8648ce3d030107a14403420004de3d300f' +
      'a36ae0e8f5d530899d83abab44abf3161f162a4bc901d8e6ecda020e8b6d5f8da30525e71d6851510c098e5c47c646a597fb4dcec034e9f77c409e62',
    'hex',
  )
  const SECRET = 'a secret in a form that nobody here knows'
  const bad: Array<[title: string, bytes: Uint8Array, says: RegExp]> = [
    ['nothing', Buffer.alloc(0), /: not a libp2p private key$/],
    ['a text', Buffer.from(SECRET), /: not a libp2p private key$/],
    ['a seed that is too short', Buffer.from(`08011220${'11'.repeat(31)}`, 'hex'), /: not a libp2p private key$/],
    ['a seed that is too long', Buffer.from(`08011220${'11'.repeat(33)}`, 'hex'), /: not a libp2p private key$/],
    ['an ECDSA key', ECDSA_KEY, /: an ECDSA key cannot be a peer's identity: use an ed25519, secp256k1 or rsa key$/],
    ['an ECDSA key as PEM', Buffer.concat([Buffer.from('08031205', 'hex'), Buffer.from('-----')]), /: an ECDSA key cannot be/],
    [
      'an ECDSA key of a type that only py-libp2p has',
      Buffer.concat([Buffer.from('08041205', 'hex'), Buffer.from('-----')]),
      /: an ECDSA key cannot be/,
    ],
    [
      'data of no type that are no RSA key',
      Buffer.concat([Buffer.from('1220', 'hex'), Buffer.alloc(32, 1)]),
      /: not a libp2p private key$/,
    ],
    ['an ECDSA key in PKCS 8', Buffer.concat([Buffer.from('08031203', 'hex'), Buffer.from('300100', 'hex')]), /: an ECDSA key cannot be/],
    ['a file that is too long', Buffer.alloc(20_000), /: it has more than 16384 bytes$/],
  ]
  for (const [title, bytes, says] of bad) {
    it(`are none: ${title}; it is said, and not what the file holds`, async () => {
      const file = join(folder, 'key')
      await writeFile(file, bytes)
      await assert.rejects(readKeyFile(file), (error) => {
        assert.ok(error instanceof UsageError)
        assert.match(error.message, says)
        assert.ok(error.message.startsWith(`key file ${file} cannot be read`))
        assert.ok(!String(error.stack).includes('secret') && !error.message.includes('1111'))
        return true
      })
    })
  }

  it('are not looked for without end', async () => {
    await assert.rejects(readKeyFile('/dev/zero'), /it has more than 16384 bytes$/)
  })

  it('are made whole, for their user only, and never over another one', async () => {
    const file = join(folder, 'key')
    const [made, other] = [await newKey(), await newKey()]
    await writeKeyFile(file, made)
    assert.equal((await stat(file)).mode & 0o777, 0o600)
    assert.equal(peerIdOf(await readKeyFile(file)), peerIdOf(made))
    await assert.rejects(writeKeyFile(file, other), { code: 'EEXIST' })
    assert.equal(peerIdOf(await readKeyFile(file)), peerIdOf(made))
    await writeKeyFile(file, other, { replace: true })
    assert.equal(peerIdOf(await readKeyFile(file)), peerIdOf(other))
    assert.deepEqual(await readdir(folder), ['key'])
  })

  it('of a home are made once, however many ask at the same time', async () => {
    const home = homeAt(folder)
    const keys = await Promise.all(Array.from({ length: 20 }, async () => loadIdentity(home)))
    assert.equal(new Set(keys.map(peerIdOf)).size, 1)
    assert.deepEqual(await readdir(folder), ['identity.key'])
  })

  it('of a home are closed to others', async () => {
    const home = homeAt(folder)
    await seedFile(home.identityFile)
    await chmod(home.identityFile, 0o644)
    assert.equal(peerIdOf(await loadIdentity(home)), PEER_ID)
    assert.equal((await stat(home.identityFile)).mode & 0o777, 0o600)
  })

  it('that are damaged are never replaced', async () => {
    const home = homeAt(folder)
    await writeFile(home.identityFile, '')
    await assert.rejects(loadIdentity(home), UsageError)
    assert.equal((await readFile(home.identityFile)).byteLength, 0)
  })

  it('may be named instead of the one in the home', async () => {
    await seedFile(join(folder, 'other.key'))
    assert.equal(peerIdOf(await loadIdentity(homeAt(folder), join(folder, 'other.key'))), PEER_ID)
    await assert.rejects(loadIdentity(homeAt(folder), join(folder, 'none.key')), /none\.key cannot be read: no such file or directory$/)
    assert.deepEqual((await readdir(folder)).sort(), ['known-keys.json', 'other.key'])
  })

  describe('with one byte changed', () => {
    const CHANGES = [0x01, 0x80]
    const ANY_CHANGE = Array.from({ length: 255 }, (_, index) => index + 1)
    /** These say of which form a key is. */
    const TYPE_BYTES = 4
    /** An RSA key has numbers of many bytes, of which some stand for all. */
    const HEAD_BYTES = 20
    const LONG = { bytes: 200, step: 7 }

    function* damaged(bytes: Uint8Array): Generator<Uint8Array> {
      const places = [...bytes.keys()].filter((index) => bytes.byteLength < LONG.bytes || index < HEAD_BYTES || index % LONG.step === 0)
      for (const index of places) {
        for (const change of index < TYPE_BYTES ? ANY_CHANGE : CHANGES) {
          const copy = Uint8Array.from(bytes)
          copy[index] = (copy[index] as number) ^ change
          yield copy
        }
      }
    }

    async function refusesAll(bytes: Uint8Array, load: () => Promise<PrivateKey>, peerId: string): Promise<void> {
      await writeFile(join(folder, 'identity.key'), bytes)
      assert.equal(peerIdOf(await load()), peerId)
      for (const fault of damaged(bytes)) {
        await writeFile(join(folder, 'identity.key'), fault)
        const taken = await load().then(peerIdOf, (error) => {
          assert.ok(error instanceof UsageError, String(error))
          return undefined
        })
        assert.equal(taken, undefined, `${Buffer.from(fault).toString('hex')} was taken`)
      }
    }

    async function forms(): Promise<Record<string, { bytes: Uint8Array; key: PrivateKey }>> {
      const [ed25519, secp256k1] = [await generateKeyPair('Ed25519'), await generateKeyPair('secp256k1')]
      const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 1_024 })
      const der = privateKey.export({ format: 'der', type: 'pkcs1' })
      const data = Buffer.concat([Buffer.from([0x12]), varint.encode(der.byteLength), der])
      const rsa = await readKey([Buffer.concat([Buffer.from([0x08, 0x00]), data])] as never, 'the key')
      return {
        'ed25519, 68 bytes': { bytes: privateKeyToProtobuf(ed25519), key: ed25519 },
        'ed25519, 100 bytes': { bytes: Buffer.concat([Buffer.from([8, 1, 0x12, 0x60]), ed25519.raw, ed25519.publicKey.raw]), key: ed25519 },
        'ed25519, 36 bytes': { bytes: Buffer.concat([Buffer.from([8, 1, 0x12, 0x20]), ed25519.raw.subarray(0, 32)]), key: ed25519 },
        secp256k1: { bytes: privateKeyToProtobuf(secp256k1), key: secp256k1 },
        'rsa, with a type': { bytes: privateKeyToProtobuf(rsa), key: rsa },
        'rsa, without a type': { bytes: data, key: rsa },
      }
    }

    for (const form of [
      'ed25519, 68 bytes',
      'ed25519, 100 bytes',
      'ed25519, 36 bytes',
      'secp256k1',
      'rsa, with a type',
      'rsa, without a type',
    ]) {
      it(`are refused, whichever byte it is: ${form}`, async () => {
        const found = (await forms())[form]
        assert.ok(found != null)
        await refusesAll(found.bytes, async () => loadIdentity(homeAt(folder)), peerIdOf(found.key))
      })
    }
  })

  describe('without a public half', () => {
    it('that are of another peer are refused by the home that knew the file, until it is told so', async () => {
      const home = homeAt(folder)
      await seedFile(home.identityFile)
      assert.equal(peerIdOf(await loadIdentity(home)), PEER_ID)
      assert.equal(peerIdOf(await loadIdentity(home)), PEER_ID)
      await seedFile(home.identityFile, OTHER_PEER_ID)
      const refused = { code: 'USAGE', message: new RegExp(`${OTHER_PEER_ID}, not of ${PEER_ID}`), hint: /key import .*--force/ }
      await assert.rejects(loadIdentity(home), refused)
      await rm(home.knownKeysFile)
      assert.equal(peerIdOf(await loadIdentity(home)), OTHER_PEER_ID)
      await seedFile(home.identityFile)
      await assert.rejects(loadIdentity(home), { code: 'USAGE' })
      const chosen = await readKeyFile(home.identityFile)
      await putKey(chosen, home.identityFile, { home, force: true, confirm: undefined })
      assert.equal(peerIdOf(await loadIdentity(home)), PEER_ID)
    })

    it('are remembered by their path, and not where they come through a pipe', async () => {
      const home = homeAt(folder)
      const [first, second] = [join(folder, 'a.key'), join(folder, 'b.key')]
      await seedFile(first)
      await seedFile(second, OTHER_PEER_ID)
      assert.equal(peerIdOf(await loadIdentity(home, first)), PEER_ID)
      assert.equal(peerIdOf(await loadIdentity(home, second)), OTHER_PEER_ID)
      const opened = await open(first)
      try {
        assert.equal(peerIdOf(await loadIdentity(home, `/dev/fd/${opened.fd}`)), PEER_ID)
      } finally {
        await opened.close()
      }
      await seedFile(first, OTHER_PEER_ID)
      await assert.rejects(loadIdentity(home, first), { code: 'USAGE' })
    })

    it('need no memory: one that cannot be read or written is done without', async () => {
      const home = homeAt(folder)
      await seedFile(home.identityFile)
      await mkdir(home.knownKeysFile)
      assert.equal(peerIdOf(await loadIdentity(home)), PEER_ID)
      await rm(home.knownKeysFile, { recursive: true })
      await writeFile(home.knownKeysFile, 'nonsense')
      assert.equal(peerIdOf(await loadIdentity(home)), PEER_ID)
      assert.deepEqual(JSON.parse(await readFile(home.knownKeysFile, 'utf8')), { [home.identityFile]: PEER_ID })
    })
  })
})
