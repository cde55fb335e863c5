import assert from 'node:assert/strict'
import { Key } from 'interface-datastore'
import { BoundedDatastore } from '../../../src/node/bounded-datastore.ts'

const value = new Uint8Array([1])

describe('the memory of the DHT', () => {
  it('forgets the oldest record of others when there are too many, and nothing else', async () => {
    const store = new BoundedDatastore(2)
    await store.put(new Key('/peers/a'), value)
    for (const name of ['/dht/provider/a', '/dht/record/b', '/dht/provider/a', '/dht/provider/c']) {
      await store.put(new Key(name), value)
    }
    const kept = ['/peers/a', '/dht/provider/a', '/dht/record/b', '/dht/provider/c'].map((name) => store.has(new Key(name)))
    assert.deepEqual(await Promise.all(kept), [true, true, false, true])
  })

  it('has room again for what was deleted', async () => {
    const store = new BoundedDatastore(1)
    await store.put(new Key('/dht/a'), value)
    await store.delete(new Key('/dht/a'))
    await store.put(new Key('/dht/b'), value)
    assert.equal(await store.has(new Key('/dht/b')), true)
  })
})
