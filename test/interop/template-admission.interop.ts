import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { multiaddr } from '@multiformats/multiaddr'
import { Cli, jsonError } from '../support/cli.ts'
import { HangsUp } from '../support/hangs-up.ts'
import { addressOf, Lab } from '../support/nodes.ts'
import { failure } from './expectations.ts'
import { TemplateLab } from './template-peer.ts'

/** A call that waits longer was not told. */
const REFUSED_WITHIN_MS = 3_000

describe('a template node whose chain does not know us', function () {
  this.timeout(60_000)
  const cli = new Cli()
  const lab = new Lab()
  const template = new TemplateLab()

  afterEach(async () => {
    await cli.clean()
    await template.clean()
    await lab.clean()
  })

  it('refuses each call at once, and is dialled once for each', async () => {
    const node = await lab.node({ settings: { network: 'template', kadProtocol: undefined } })
    const peer = await template.peer({ allow: [] })
    for (let calls = 1; calls <= 3; calls++) {
      const { code, mayHaveActed } = await failure(
        node.tasks.sendTask(multiaddr(peer.address), 'a task', Buffer.from('x'), { timeoutMs: REFUSED_WITHIN_MS }),
      )
      assert.deepEqual([code, mayHaveActed], ['NOT_ADMITTED', false])
      assert.equal((await peer.do('counts'))['came'], calls)
    }
  })

  it('answers as soon as the chain knows us', async () => {
    const node = await lab.node({ settings: { network: 'template', kadProtocol: undefined } })
    const peer = await template.peer({ allow: [] })
    const ask = async () => node.tasks.sendTask(multiaddr(peer.address), 'a task', Buffer.from('x'), { timeoutMs: 30_000 })
    assert.equal((await failure(ask())).code, 'NOT_ADMITTED')
    await peer.do('allow', { peers: [node.peerId.toString()] })
    assert.equal((await ask()).accepted, true)
  })

  it('is not dialled again and again by a node that bootstraps to it', async () => {
    const peer = await template.peer({ allow: [] })
    const dead = await HangsUp.listen()
    await lab.node({ settings: { network: 'template', kadProtocol: undefined, bootstrap: [peer.address, dead.address] } })
    await dead.tried(3)
    dead.close()
    const { cameAtMs } = await peer.do<{ cameAtMs: number[] }>('counts')
    assert.ok(cameAtMs.length > 0)
    // each dial waits for the delay that the refusal before it began: 1 s, then twice as long, less a quarter at most
    const waitsMs = cameAtMs.slice(1).map((atMs, index) => atMs - (cameAtMs[index] ?? 0))
    for (const [refusals, waitMs] of waitsMs.entries()) {
      assert.ok(waitMs >= 750 * 2 ** refusals, `dial ${refusals + 2} came ${waitMs} ms after the one before`)
    }
  })

  it('refuses to dial us, and we do not mind', async () => {
    const node = await lab.node({ settings: { network: 'template', kadProtocol: undefined } })
    const peer = await template.peer({ allow: [] })
    await assert.rejects(peer.do('dial', { address: addressOf(node) }))
    assert.deepEqual(node.connections, [])
    const another = await template.peer({ allow: [node.peerId.toString()] })
    await another.do('dial', { address: addressOf(node) })
    assert.ok(Number((await another.do('ping', { peer: node.peerId.toString() }))['ms']) >= 0)
  })

  it('makes a task to its ID end with 12, where a bootnode that lets us in names its address', async () => {
    const bootnode = await template.peer({ bootnode: true })
    const peer = await template.peer({ bootstrap: [bootnode.address], allow: [bootnode.peerId] })
    while (!(await bootnode.do<{ table: string[] }>('known')).table.includes(peer.peerId)) {
      await delay(50)
    }
    const flags = ['--network', 'template', '--bootstrap', bootnode.address, '--json']
    const outcome = await cli.run(await cli.home(), ['send-task', peer.peerId, '--text', 'x', ...flags])
    const { code, exit } = jsonError(outcome)
    assert.deepEqual([outcome.code, exit, code], [12, 12, 'NOT_ADMITTED'])
  })

  for (const command of [['ping', '--count', '1'], ['send-task', '--text', 'x'], ['connect']] as const) {
    it(`makes "subnet ${command[0]}" end with 12, and a hint at the chain`, async () => {
      const peer = await template.peer({ allow: [] })
      const [name, ...flags] = command
      const outcome = await cli.run(await cli.home(), [name, peer.address, ...flags, '--network', 'template', '--json'])
      const { code, exit, hint } = jsonError(outcome)
      assert.deepEqual([outcome.code, exit, code], [12, 12, 'NOT_ADMITTED'])
      assert.match(hint ?? '', /regist/)
    })
  }
})
