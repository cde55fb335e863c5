import assert from 'node:assert/strict'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { kadProtocolOf } from '../../../src/node/network/network.ts'
import { networkOf, speaksTemplate } from '../../../src/node/network/network-of.ts'
import { OtherNetwork } from '../../../src/node/network/other-network.ts'
import { createLogger } from '../../../src/observe/logger.ts'

const IDENTIFY = ['/ipfs/id/1.0.0', '/ipfs/ping/1.0.0']
const DAG_SYNC = '/subnet/merkle_dag_sync_protocol/1.0.0'
const TEMPLATE = [...IDENTIFY, '/meshsub/2.0.0', '/ipfs/kad/1.0.0', DAG_SYNC, '/subnet/task_protocol/1.0.0']
const OURS = [...IDENTIFY, '/meshsub/1.0.0', '/meshsub/1.2.0', '/meshsub/2.0.0', '/subnet/address/1.0.0', DAG_SYNC]

describe('the network of a peer', () => {
  const cases: Array<{ name: string; protocols: string[]; network: string | undefined; isTemplates: boolean }> = [
    { name: 'a node of the template', protocols: TEMPLATE, network: 'template', isTemplates: true },
    { name: 'one that answers DAG sync alone', protocols: [...IDENTIFY, DAG_SYNC], network: 'template', isTemplates: true },
    { name: 'one with no other gossip', protocols: [...IDENTIFY, '/meshsub/2.0.0'], network: 'template', isTemplates: true },
    {
      name: 'one with other gossip too',
      protocols: [...IDENTIFY, '/meshsub/2.0.0', '/meshsub/1.1.0'],
      network: undefined,
      isTemplates: false,
    },
    { name: 'ours', protocols: [...OURS, '/subnet/1/kad/1.0.0'], network: 'native', isTemplates: false },
    { name: "ours in the template's network", protocols: [...OURS, '/ipfs/kad/1.0.0'], network: 'template', isTemplates: false },
    { name: 'one that told nothing', protocols: [], network: undefined, isTemplates: false },
  ]
  for (const { name, protocols, network, isTemplates } of cases) {
    it(`is ${network ?? 'not known'} for ${name}`, () => {
      assert.equal(networkOf(protocols), network)
      assert.equal(speaksTemplate(protocols), isTemplates)
    })
  }

  it('decides what the DHT is called, unless a setting does', () => {
    assert.equal(kadProtocolOf({ network: 'native', subnetId: 7, kadProtocol: undefined }), '/subnet/7/kad/1.0.0')
    assert.equal(kadProtocolOf({ network: 'template', subnetId: 7, kadProtocol: undefined }), '/ipfs/kad/1.0.0')
    assert.equal(kadProtocolOf({ network: 'template', subnetId: 7, kadProtocol: '/x/kad' }), '/x/kad')
  })
})

describe('a node of one network that meets peers of the other', () => {
  async function meeting(network: 'native' | 'template', serves: boolean): Promise<{ lines: string[]; other: OtherNetwork }> {
    const lines: string[] = []
    const other = new OtherNetwork(network, { serves, log: createLogger('warn', (line) => lines.push(line)) })
    for (const protocols of [OURS, TEMPLATE, TEMPLATE]) {
      other.meet(peerIdFromPrivateKey(await generateKeyPair('Ed25519')), protocols)
    }
    return { lines, other }
  }

  it('says so once, with the flag, where it is native', async () => {
    const { lines, other } = await meeting('native', true)
    assert.equal(lines.length, 1)
    assert.match(lines[0] ?? '', /12D3Koo\w+ is a node of Hypertensor's Python template.*--network template/)
    assert.match(other.notices.join(), /--network template/)
    assert.match(other.hint ?? '', /--network template/)
  })

  it('says nothing in the log of a command that only calls, and still knows what to do about a peer that is not found', async () => {
    const { lines, other } = await meeting('native', false)
    assert.deepEqual(lines, [])
    assert.match(other.hint ?? '', /--network template/)
  })

  it('says nothing where it is in that network', async () => {
    const { lines, other } = await meeting('template', true)
    assert.deepEqual([lines, other.notices, other.hint], [[], [], undefined])
  })
})
