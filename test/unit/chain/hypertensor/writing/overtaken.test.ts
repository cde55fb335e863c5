import assert from 'node:assert/strict'
import { multiaddr } from '@multiformats/multiaddr'
import type { PublishedRecord } from '../../../../../src/chain/registry.ts'
import { HypertensorSetup } from '../../../../support/hypertensor-setup.ts'
import { NODE_1 } from '../../../../support/hypertensor-state.ts'
import { OWNER, own } from '../../../../support/owner.ts'
import type { StandInChain, StandInOptions } from '../../../../support/stand-in-chain.ts'

const ADDRESS = multiaddr('/ip4/203.0.113.7/tcp/38960')
const OTHER = multiaddr('/ip4/203.0.113.8/tcp/38960')

describe('a transaction that waits for its block', () => {
  const setup = new HypertensorSetup()
  let chain: StandInChain

  beforeEach(async () => open())

  afterEach(async () => setup.clean())

  async function open(options?: StandInOptions): Promise<void> {
    chain = await setup.chain(options)
    chain.makesBlocks = false
    own(chain.state, 1)
  }

  async function publish(address = ADDRESS, blockMs = 50): Promise<PublishedRecord> {
    return setup.registry(chain, { self: NODE_1, options: { blockMs } }).publish([address], { signer: OWNER, approve: async () => true })
  }

  for (const [how, without] of [
    ['is told nothing', []],
    ['cannot watch it', ['author_submitAndWatchExtrinsic']],
  ] as const) {
    it(`was overtaken once the account's nonce passed its own: in one block, where it ${how}`, async () => {
      await open({ without: [...without] })
      const refused = assert.rejects(publish(), {
        code: 'USAGE',
        message: new RegExp(
          `^another transaction of ${OWNER.account} used nonce 0, at the latest in block ${chain.state.block + 1}: transaction 0x[0-9a-f]{64} is in no block, and costs nothing$`,
        ),
        hint: /chain lookup/,
      })
      await chain.handedIn()
      chain.pool.overtake(OWNER.account)
      chain.nextBlock()
      await refused
    })
  }

  it('was overtaken where the pool says that it is in the block of the other, as pools do', async () => {
    const refused = assert.rejects(publish(), { code: 'USAGE', message: /is in no block/ })
    await chain.handedIn()
    chain.pool.overtake(OWNER.account)
    chain.tellStatus({ inBlock: chain.nextBlock().hash })
    await refused
  })

  it('goes on waiting while blocks come without it, and is found', async () => {
    await open({ without: ['author_submitAndWatchExtrinsic'] })
    const publishing = publish()
    await chain.handedIn()
    chain.newHead()
    chain.newHead()
    await chain.called('chain_getHeader')
    const { number } = chain.nextBlock()
    assert.equal((await publishing).block, number)
    // no block is fetched before the nonce says that it is in there
    assert.equal(chain.count('chain_getBlock'), 1)
  })

  it('is found in its block, whatever the pool said before', async () => {
    for (const [index, status] of ['invalid', 'dropped', { usurped: `0x${'1'.repeat(64)}` }].entries()) {
      const publishing = publish(multiaddr(`/ip4/203.0.113.9/tcp/${index + 1}`), 500)
      await chain.handedIn()
      chain.tellStatus(status)
      chain.nextBlock()
      assert.notEqual((await publishing).receipt, undefined)
    }
  })

  for (const [status, message] of [
    ['invalid', /became invalid/],
    [{ usurped: `0x${'1'.repeat(64)}` }, /replaced this one/],
    ['dropped', /dropped the transaction: transaction 0x.* may have been included/],
  ] as const) {
    it(`ends soon when the pool gives it up and no block has it: ${JSON.stringify(status).slice(0, 12)}`, async () => {
      const publishing = publish()
      await chain.handedIn()
      chain.tellStatus(status)
      await assert.rejects(publishing, { message })
    })
  }

  it('is one of two of an account: exactly one goes through, the other ends at once', async () => {
    const both = [ADDRESS, OTHER].map(async (address) => publish(address))
    const first = await Promise.race(
      both.map(async (each) =>
        each.then(
          () => 'done',
          (error: Error) => error,
        ),
      ),
    )
    assert.match(
      String(first),
      /another transaction of 0x\w+.* (waits|came in the meantime)|did not accept the transaction: .*Priority is too low/,
    )
    chain.nextBlock()
    const ended = await Promise.allSettled(both)
    assert.deepEqual(ended.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
    assert.equal(chain.pool.calls.length, 1)
  })
})
