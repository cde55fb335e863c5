import assert from 'node:assert/strict'
import { multiaddr } from '@multiformats/multiaddr'
import { addressOf, Lab } from '../support/nodes.ts'
import { OtherStacks } from '../support/other-stacks.ts'
import type { Line } from './foreign-peer.ts'
import { TemplateLab } from './template-peer.ts'

/** The template itself waits for 10 s, and asks once a second: with its own times it would have 15. */
const STARTS_WITHIN_MS = 15_000

describe('the start of a template node', function () {
  this.timeout(60_000)
  const lab = new Lab()
  const stacks = new OtherStacks()
  const template = new TemplateLab()

  afterEach(async () => {
    await template.clean()
    await stacks.stop()
    await lab.clean()
  })

  for (const network of ['template', 'native'] as const) {
    for (const dialler of ['node', 'peer'] as const) {
      it(`ends with a ${network} node of ours connected, that ${dialler === 'node' ? 'dialled' : 'was dialled'}`, async function () {
        this.timeout(STARTS_WITHIN_MS)
        const node = await lab.node({ settings: { network, kadProtocol: undefined } })
        const peer = await template.peer({ bootstrap: dialler === 'peer' ? [addressOf(node)] : [] })
        if (dialler === 'node') {
          await node.connect(multiaddr(peer.address))
        }
        assert.deepEqual(await peer.event('started'), { event: 'started', peers: [node.peerId.toString()] })
      })
    }
  }

  it('ends with one of ours and others of the template, each with states that the others told', async function () {
    this.timeout(STARTS_WITHIN_MS)
    const node = await lab.node({ settings: { network: 'template', kadProtocol: undefined } })
    const me = node.peerId.toString()
    const first = await template.peer({ bootstrap: [addressOf(node)] })
    await first.event('started')
    const second = await template.peer({ bootstrap: [addressOf(node), first.address] })
    const { peers } = await second.event<{ peers: string[] } & Line>('started')
    assert.deepEqual(new Set(peers), new Set([me, first.peerId]))
    // both ways: the second has all that the first told, and tells on
    await first.event('state', ({ peerId }) => peerId === second.peerId)
    await second.event('state', ({ peerId }) => peerId === first.peerId)
  })

  it('does not end without an answer: with a stack of ours that does not speak the protocol, it asks again and again', async () => {
    const node = await lab.node({ settings: { network: 'template', kadProtocol: undefined } })
    const mute = await stacks.ours({ listen: ['/ip4/127.0.0.1/tcp/0'] })
    const peer = await template.peer({ bootstrap: [addressOf(node), stacks.addressOf(mute).toString()] })
    for (let round = 1; round <= 5; round++) {
      await peer.event('unanswered', ({ peerId }) => peerId === mute.peerId.toString())
    }
    assert.equal((await peer.do('counts'))['started'], false)
  })
})
