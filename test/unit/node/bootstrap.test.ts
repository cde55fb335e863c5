import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { mock } from 'node:test'
import { multiaddr } from '@multiformats/multiaddr'
import { Bootstrap, type BootstrapInit } from '../../../src/node/dial/bootstrap.ts'
import { createLogger } from '../../../src/observe/logger.ts'
import { newPeer } from '../../support/keys.ts'

describe('a bootstrap that cannot be reached', () => {
  it('is tried at once when the network changed, without the delay that the last failures earned', async () => {
    mock.timers.enable({ apis: ['setTimeout'] })
    const { peerId } = await newPeer()
    const news = new EventEmitter()
    let dials = 0
    const dial = async (): Promise<never> => {
      dials++
      news.emit('dial')
      throw new Error('no route')
    }
    const libp2p = Object.assign(new EventTarget(), { getPeers: () => [] })
    const bootstrap = new Bootstrap({
      libp2p,
      dialler: { connectionsTo: () => [], dial },
      targets: [{ peerId, multiaddr: multiaddr(`/ip4/10.0.0.1/tcp/1/p2p/${peerId.toString()}`) }],
      ownRefusalOf: async () => undefined,
      refusalOf: async () => undefined,
      refused: { mayDial: () => true, untilDial: async () => undefined },
      log: createLogger('silent', () => undefined),
    } as unknown as BootstrapInit)
    try {
      const first = once(news, 'dial')
      bootstrap.start()
      await first
      for (let change = 1; change <= 3; change++) {
        const next = once(news, 'dial')
        // no timer ever fires here
        bootstrap.retryNow()
        await next
      }
      assert.equal(dials, 4)
    } finally {
      mock.timers.reset()
      await bootstrap.stop()
    }
  })
})
