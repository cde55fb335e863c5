import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PeerId, PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { LedgerRegistry } from '../../src/chain/drivers/ledger.ts'
import { AddressBook } from '../../src/gossip/address-book.ts'
import { HEARTBEAT_INTERVAL_MS } from '../../src/gossip/heartbeat-interval.ts'
import { sealPeerRecord } from '../../src/gossip/peer-record.ts'
import { ensureHome, homeAt } from '../../src/node/home/home.ts'
import { HOME_MIGRATIONS } from '../../src/node/home/home-database.ts'
import { createLogger } from '../../src/observe/logger.ts'
import { openDatabase } from '../../src/primitives/database.ts'

interface Stranger {
  privateKey: PrivateKey
  multiaddrs: Multiaddr[]
}

/** Writes peers into a home's address book, as if their heartbeats had just been heard. */
export async function enterInBook(path: string, peers: Stranger[]): Promise<void> {
  const home = homeAt(path)
  await ensureHome(home)
  const database = await openDatabase({ file: home.databaseFile }, HOME_MIGRATIONS)
  const book = new AddressBook(database)
  for (const { privateKey, multiaddrs } of peers) {
    const now = Date.now()
    const record = await sealPeerRecord(privateKey, multiaddrs, BigInt(now))
    const heard = { origin: 'gossip', state: 'online', seenAtMs: now, heartbeatAtMs: now, bad: false } as const
    await book.put({ ...record, ...heard, intervalMs: HEARTBEAT_INTERVAL_MS.max })
  }
  database.close()
}

/** The same with `count` peers that do not run. */
export async function enterStrangersInBook(path: string, count: number): Promise<PeerId[]> {
  const peers = await make(count)
  await enterInBook(path, peers)
  return peers.map(({ privateKey }) => peerIdFromPrivateKey(privateKey))
}

/** Lets `count` peers that do not run publish their address in a ledger. */
export async function publishInLedger(file: string, count: number): Promise<PeerId[]> {
  const log = createLogger('error', (line) => process.stderr.write(line))
  const peers = await make(count)
  for (const { privateKey, multiaddrs } of peers) {
    const registry = new LedgerRegistry({ file, subnetId: 1, privateKey, log })
    await registry.publish(multiaddrs)
    await registry.close()
  }
  return peers.map(({ privateKey }) => peerIdFromPrivateKey(privateKey))
}

async function make(count: number): Promise<Stranger[]> {
  const peers: Stranger[] = []
  for (let i = 0; i < count; i++) {
    peers.push({ privateKey: await generateKeyPair('Ed25519'), multiaddrs: [multiaddr('/ip4/127.0.0.1/tcp/4001')] })
  }
  return peers
}
