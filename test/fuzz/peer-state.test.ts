import assert from 'node:assert/strict'
import { peerIdFromString } from '@libp2p/peer-id'
import fc from 'fast-check'
import { readPeerState } from '../../src/gossip/peer-state-message.ts'
import { fuzz } from '../support/fuzzing.ts'
import { newPeer } from '../support/keys.ts'
import { mutated } from '../support/mutations.ts'
import { dumps, encoded, type Json, recordedStates, type StateInit, type StateMessage, sha256, stateOf } from '../support/template-state.ts'

const MIB = 1 << 20
const CREATED_AT_MS = 1_800_000_000_000

/** Values that a message of another version, or of nobody, may have. */
const values: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom<Json>(
    null,
    true,
    0,
    -1,
    2 ** 31,
    2 ** 53,
    -(2 ** 53),
    1.5,
    1e300,
    '',
    'x',
    '\u0000',
    '\u009b',
    'ü',
    '\ud800',
    'NaN',
    [],
    {},
  ),
  fc.constantFrom<Json>('/ip4/10.0.0.1/tcp/1', '/ip4/0.0.0.0/tcp/0', '/p2p/x', '/dns4/a', '/'.repeat(3_000), '0'.repeat(129)),
  fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<Json>,
)
const keys = fc.constantFrom(
  'x',
  '',
  '__proto__',
  'constructor',
  'version',
  'parent_ids',
  'metadata',
  'multiaddr',
  'state',
  'public_key',
  'body_hash',
  'author',
)

/** Public keys, as few could be read. */
const hex = fc.oneof(
  fc.constantFrom(
    '',
    '00',
    '08',
    '0801',
    '08011220',
    '08011221',
    `08011220${'00'.repeat(32)}`,
    `08021221${'03'.repeat(33)}`,
    `08001202${'30'.repeat(2)}`,
  ),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('hex')),
)

/** One change of a tree: a value, a key, or what a key names is another, or gone. */
interface Change {
  at: number
  kind: number
  key: string
  value: Json
}
const changes = fc.array(fc.record({ at: fc.nat(), kind: fc.nat({ max: 4 }), key: keys, value: values }), { minLength: 1, maxLength: 3 })

/** The objects and lists in there. */
function branches(value: Json): Array<Json[] | { [key: string]: Json }> {
  return value != null && typeof value === 'object' ? [value, ...Object.values(value).flatMap(branches)] : []
}

function changed(message: Json, list: Change[]): Json {
  const copy = structuredClone(message)
  for (const { at, kind, key, value } of list) {
    const all = branches(copy)
    const branch = all[at % all.length] ?? {}
    const put = structuredClone(value)
    if (Array.isArray(branch)) {
      branch.splice(at % (branch.length + 1), kind % 2, ...(kind === 0 ? [] : [put]))
    } else {
      changeMember(branch, at >> 4, kind, key, put)
    }
  }
  return copy
}

function changeMember(branch: { [key: string]: Json }, at: number, kind: number, key: string, value: Json): void {
  const names = Object.keys(branch)
  const name = names[at % Math.max(1, names.length)]
  if (name != null && kind === 0) {
    delete branch[name]
    return
  }
  const copied = kind === 3 && name != null ? branch[name] : value
  // defined and not assigned: `__proto__` is a key like all others
  Object.defineProperty(branch, kind < 3 ? (name ?? key) : key, { value: copied, configurable: true, enumerable: true, writable: true })
}

describe('a message of peer_state, whatever is in it', function () {
  this.timeout(0)

  it('is read, or there is a verdict', async () => {
    const author = await newPeer()
    const own = await stateOf(author, { createdAtMs: CREATED_AT_MS, multiaddr: '/ip4/10.0.0.1/tcp/1000' })
    const valid = [
      { data: own as Json, from: author.peerId },
      ...recordedStates().map(({ data, from }) => ({ data: data as Json, from: peerIdFromString(from) })),
    ]
    const signed = new Set(
      valid.filter(({ data }) => (data as StateMessage).node != null).map(({ data }) => signedIn(data as StateMessage)),
    )
    const messages = valid.map(({ data, from }) => ({ bytes: encoded(data), from }))
    const any = fc.constantFrom(...valid)
    const input = fc.oneof(
      { weight: 4, arbitrary: fc.tuple(any, changes).map(([{ data, from }, list]) => ({ bytes: encoded(changed(data, list)), from })) },
      { weight: 3, arbitrary: fc.oneof(...messages.map(({ bytes, from }) => mutated(bytes).map((odd) => ({ bytes: odd, from })))) },
      { weight: 1, arbitrary: fc.constantFrom(...messages) },
      { weight: 1, arbitrary: fc.json({ maxDepth: 4 }).map((text) => ({ bytes: Buffer.from(text), from: author.peerId })) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }).map((bytes) => ({ bytes, from: author.peerId })) },
    )
    await fuzz(input, { runs: 5_000, target: 'peer_state: messages' }, MIB, async ({ bytes, from }) => {
      const read = readPeerState(bytes, from)
      if ('result' in read) {
        assert.match(read.result, /^(ignore|reject)$/)
      } else if (read.kind === 'state') {
        const verdict = await read.check()
        assert.match(verdict?.result ?? 'ignore', /^(ignore|reject)$/)
        if (verdict == null) {
          // what is signed is what its author signed; what stands around it is not
          const message = JSON.parse(Buffer.from(bytes).toString())
          assert.ok(signed.has(signedIn(message)), signedIn(message))
        }
      }
    })
  })

  it('that its author signed, whatever stands in it, is right where it is read, and that nobody signed is not', async () => {
    const [author, other] = await Promise.all([newPeer(), newPeer()])
    const members = fc.dictionary(keys, values, { maxKeys: 3, noNullPrototype: true })
    const header = fc.oneof(fc.constant({}), members, fc.record({ public_key: hex }))
    const init = fc.record({ payload: members, metadata: members, header, state: values }, { requiredKeys: [] })
    const forged = fc.constantFrom('no', 'no', 'other key', 'signature', 'hash')
    let read = 0
    await fuzz(fc.record({ init, forged, at: fc.nat() }), { runs: 2_000, target: 'peer_state: signed' }, MIB, async (given) => {
      const signer = given.forged === 'other key' ? other : author
      const state = await stateOf(author, { createdAtMs: CREATED_AT_MS, ...given.init, signer } as StateInit)
      forge(state, given)
      const message = readPeerState(encoded(state), author.peerId)
      if ('result' in message) {
        assert.match(message.result, /^(ignore|reject)$/)
        return
      }
      assert.ok(message.kind === 'state')
      const verdict = await message.check()
      if (given.forged !== 'no') {
        assert.match(verdict?.result ?? 'none', /^(ignore|reject)$/)
        return
      }
      read++
      // a header of another form may name other hashes
      assert.ok(verdict == null || Object.keys(given.init.header ?? {}).length > 0, JSON.stringify(verdict))
    })
    assert.ok(read > 0, 'good ones are among them')
  })
})

/** All of a message that is signed, and the signature. */
function signedIn({ node: { header, body } }: StateMessage): string {
  return dumps([header, body.payload])
}

function forge({ node: { header, body } }: StateMessage, { forged, at }: { forged: string; at: number }): void {
  if (forged === 'signature') {
    const bytes = Buffer.from(String(header['signature']), 'hex')
    const index = at % bytes.byteLength
    header['signature'] = bytes.fill((bytes[index] ?? 0) ^ (1 << (at % 8)), index, index + 1).toString('hex')
  } else if (forged === 'hash') {
    header['node_id'] = body.node_id = sha256('another header')
  }
}
