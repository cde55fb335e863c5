import assert from 'node:assert/strict'
import type { Connection, PeerId } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { putAside } from '../../../src/node/dial/aside.ts'
import { type DialComponents, Dialler } from '../../../src/node/dial/dialler.ts'

describe('the connections to a peer', () => {
  it('are used from the newest on; one that was put aside comes last', () => {
    const connections = ['first', 'second', 'dial-back', 'closed'].map((id) => ({
      id,
      status: id === 'closed' ? 'closed' : 'open',
      remoteAddr: multiaddr('/ip4/45.79.0.1/tcp/1'),
    })) as Connection[]
    const dialler = new Dialler({ connectionManager: { getConnections: () => connections } } as unknown as DialComponents)
    putAside(connections[2] as Connection)
    assert.deepEqual(
      dialler.connectionsTo({} as PeerId).map(({ id }) => id),
      ['second', 'first', 'dial-back'],
    )
  })
})
