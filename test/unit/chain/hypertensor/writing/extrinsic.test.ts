import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { Layout } from '../../../../../src/chain/hypertensor/layout.ts'
import { AccountKey } from '../../../../../src/chain/hypertensor/writing/account-key.ts'
import { readOutcome } from '../../../../../src/chain/hypertensor/writing/dispatch-outcome.ts'
import { signExtrinsic } from '../../../../../src/chain/hypertensor/writing/extrinsic.ts'
import { peerUpdateCall } from '../../../../../src/chain/hypertensor/writing/peer-update.ts'
import type { RuntimeTypes } from '../../../../../src/chain/hypertensor/writing/runtime-types.ts'
import { extensionBytes, type SigningContext } from '../../../../../src/chain/hypertensor/writing/signed-extensions.ts'
import { HypertensorState, RECORDED_METADATA } from '../../../../support/hypertensor-state.ts'
import { OWNER, OWNER_KEY } from '../../../../support/owner.ts'

const PEER = peerIdFromString('12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb')
const CONTEXT: SigningContext = {
  specVersion: 1,
  transactionVersion: 1,
  genesisHash: Buffer.alloc(32, 1),
  birth: { block: 70, hash: Buffer.alloc(32, 2) },
  nonce: 3,
}
const UPDATE = {
  subnetId: 128_001,
  nodeId: 1,
  peerId: PEER,
  multiaddr: multiaddr(`/dns4/a.example.com/tcp/443/wss/p2p/${PEER.toString()}`),
  role: 'main' as const,
  samePeer: false,
}

/**
 * Taken apart and verified by scalecodec (the call, era and nonce, with the same metadata) and eth-keys (the signer): length, 0x84, account,
 * signature, era, nonce, tip, call.
 */
const VERIFIED = [
  '6103',
  '84',
  'f24ff3a9cf04c71dbc94d0b566f7a27b94566cac',
  '9b49cbd6cdcc438ca25e46766a4b236d02e40118a6a150ae96c704093112a0694af7311c9b0188f5031dce971e1ac77f08a3bbba4f754dcd3c8c2765646cea1500',
  '6500',
  '0c',
  '00',
  '1728' + '01f40100' + '01000000',
  'd0313244334b6f6f574d7757315671483775577455633555476f794d4a7031644732364e6b6f736336526b524a37524e695736436201f4',
  '360d612e6578616d706c652e636f6d0601bbde03a50326002408011220b4202c9501729087fb8a4e623352eb88d9ac2dbfe9ec4cb579a38c9fb4ea6a8c',
]

function runtime(change: (runtime: RuntimeTypes) => void = () => undefined): RuntimeTypes {
  const layout = new Layout(Buffer.from(RECORDED_METADATA.slice(2), 'hex'), 'recorded').runtime
  change(layout)
  return layout
}

describe('a transaction of a Hypertensor chain', () => {
  it('is, byte by byte, what independent readers take for it', () => {
    const types = runtime()
    const { hex, hash } = signExtrinsic(peerUpdateCall(types, UPDATE).bytes, extensionBytes(types, CONTEXT), OWNER)
    assert.equal(hex, `0x${VERIFIED.join('')}`)
    assert.equal(hash, '0xeef86af3479331b96eba198d8ea6a0a3aeca9c5c4d75157972aa83790974cc57')
  })

  it('goes away from its peer ID and back where that is the node’s already', () => {
    const types = runtime()
    const { bytes } = peerUpdateCall(types, { ...UPDATE, samePeer: true })
    const call = types.builder.buildDefinition(types.types.call as number).dec(Uint8Array.from(bytes))
    const infos = call.value.value.calls.map((each: { value: { value: { new_peer_info: unknown } } }) => each.value.value.new_peer_info)
    assert.deepEqual([call.type, call.value.type, infos.length], ['Utility', 'batch_all', 2])
    assert.equal(infos[0].multiaddr, undefined)
    const away = peerIdFromString(Buffer.from(infos[0].peer_id).toString())
    assert.ok(away.type === 'Ed25519' && !away.equals(PEER))
    assert.deepEqual(infos[1], { peer_id: new Uint8Array(Buffer.from(PEER.toString())), multiaddr: UPDATE.multiaddr.bytes })
  })

  it('is not made with a call that takes anything else than is known here', () => {
    const upgraded = new HypertensorState()
    upgraded.upgrade()
    const { runtime: types } = new Layout(Buffer.from(upgraded.metadata.slice(2), 'hex'), 'upgraded')
    assert.throws(() => peerUpdateCall(types, UPDATE), {
      code: 'USAGE',
      message: /^the chain's Network\.update_peer_info takes \(.*maddr: Option<\[u8\]>.*: the call is not made/,
    })
    const without = runtime(({ metadata }) =>
      metadata.pallets.splice(
        metadata.pallets.findIndex(({ name }) => name === 'Utility'),
        1,
      ),
    )
    assert.throws(() => peerUpdateCall(without, { ...UPDATE, samePeer: true }), { code: 'USAGE', message: /no Utility\.batch_all/ })
  })

  it('is not signed for a chain with an extension that is not known here, if it carries anything', () => {
    const withExtension = (identifier: string, type: number): RuntimeTypes =>
      runtime(({ metadata }) => metadata.extrinsic.signedExtensions[0]?.push({ identifier, type, additionalSigned: 42 }))
    const [before, after] = [extensionBytes(runtime(), CONTEXT), extensionBytes(withExtension('Harmless', 42), CONTEXT)]
    assert.deepEqual(after, before)
    assert.throws(() => extensionBytes(withExtension('AskSomething', 4), CONTEXT), {
      code: 'USAGE',
      message: /^this program cannot sign transactions for this chain: its transactions carry AskSomething \(u32\)$/,
    })
  })

  it('is not signed for a chain with other accounts, or other transactions', () => {
    const others = runtime(({ metadata }) => {
      const account = metadata.lookup[0]
      account?.path.splice(0, account.path.length, 'sp_core', 'AccountId32')
    })
    assert.throws(() => extensionBytes(others, CONTEXT), { code: 'USAGE', message: /not Ethereum-style/ })
    const newer = runtime(({ metadata }) => metadata.extrinsic.version.splice(0, 1, 5))
    assert.throws(() => extensionBytes(newer, CONTEXT), { code: 'USAGE', message: /of version 5, not 4/ })
  })

  it('is not taken for one that went well when its events say nothing of it', () => {
    assert.throws(() => readOutcome(runtime(), '0x00', 1), /no event tells the outcome/)
    assert.throws(() => readOutcome(runtime(), '0x0400', 1))
  })
})

describe('the key of an account', () => {
  it('is read in hex, with and without 0x, and gives the account that others give it', () => {
    for (const text of [OWNER_KEY, `0x${OWNER_KEY}`, `${OWNER_KEY.toUpperCase()}\n`]) {
      assert.equal(AccountKey.parse(text).account, '0xf24FF3a9CF04c71Dbc94D0b566f7A27B94566cac')
    }
  })

  it('is refused without being told', () => {
    const texts = ['', 'abc', OWNER_KEY.slice(1), `${OWNER_KEY}00`, '0'.repeat(64), 'f'.repeat(64), `0x0x${OWNER_KEY}`]
    for (const text of texts) {
      assert.throws(
        () => AccountKey.parse(text),
        (error: Error) => text === '' || !error.message.includes(text),
        text,
      )
    }
  })

  it('is seen by nothing that prints', () => {
    const shown = [inspect(OWNER, { depth: 9, showHidden: true }), JSON.stringify(OWNER), String(OWNER), Object.values(OWNER).join()].join()
    assert.ok(!shown.toLowerCase().includes(OWNER_KEY) && !shown.includes('95, 185'), shown)
  })
})
