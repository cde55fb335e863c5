import { setTimeout as delay } from 'node:timers/promises'
import type { Connection, Libp2p, PeerId } from '@libp2p/interface'
import type { SignedRecord } from '../../gossip/peer-record.ts'
import type { Logger } from '../../observe/logger.ts'
import { TokenBuckets } from '../../primitives/token-bucket.ts'

/** The compared part of a record. */
type Told = Pick<SignedRecord, 'multiaddrs'>

export interface SharedKeysInit {
  log: Logger
  /** Requests the signed record of the remote peer. Undefined if it has none. */
  ask(connection: Connection): Promise<Told | undefined>
  /** Milliseconds before connections are compared. @default 1_000 */
  firstWaitMs?: number
}

interface Pair {
  connections: readonly [Connection, Connection]
  line: string
}

/** Maximum reported peers. */
const MAX_PAIRS = 10
/** Maximum peers compared concurrently. */
const MAX_ASKED = 16
/** Delay before the first comparison, in milliseconds. It doubles before each further one. */
const FIRST_WAIT_MS = 1_000
/** Maximum comparisons while the records keep changing. */
const COMPARISONS = 5
/** Rate limit of comparisons per peer. */
const ASKING = { burst: 3, refillMs: 60_000 }
const MAX_PEERS = 1_000
/** Rate limit of log lines, for all peers together. */
const LINES = { burst: 10, refillMs: 60_000 }

/**
 * Detects two live nodes with the same key that are both connected to this node. The evidence: the signed records on two connections of one
 * peer ID list different addresses, and both connections repeat theirs when asked in turn. A single node gives the same addresses on all
 * its connections. A dead connection and a client-only command give none. Two nodes with equal addresses, for example in two private
 * networks, are not detected.
 */
export class SharedKeys {
  readonly #init: SharedKeysInit
  /** Addresses of the latest record on each connection. */
  readonly #told = new WeakMap<Connection, string>()
  readonly #pairs = new Map<string, Pair>()
  readonly #asked = new Set<string>()
  readonly #asking = new TokenBuckets({ maxKeys: MAX_PEERS })
  readonly #lines = new TokenBuckets({ maxKeys: 1 })
  #connectionsTo: (peerId: PeerId) => Connection[] = () => []

  constructor(init: SharedKeysInit) {
    this.#init = init
  }

  follow(libp2p: Pick<Libp2p, 'getConnections'>): void {
    this.#connectionsTo = (peerId) => libp2p.getConnections(peerId)
  }

  /** Call for each verified record that a connected peer sends about itself. */
  saw(connection: Connection, record: Told): void {
    const addresses = addressesIn(record)
    this.#told.set(connection, addresses)
    const peer = connection.remotePeer.toString()
    const other = this.#connectionsTo(connection.remotePeer).find((each) => each !== connection && differs(this.#told.get(each), addresses))
    this.#forgetClosed()
    if (
      other != null &&
      !this.#pairs.has(peer) &&
      !this.#asked.has(peer) &&
      this.#asked.size < MAX_ASKED &&
      this.#asking.take(peer, ASKING)
    ) {
      this.#asked.add(peer)
      this.#compare(other, connection)
        .catch((error) => this.#init.log.debug(`the connections of ${peer} were not compared`, error))
        .finally(() => this.#asked.delete(peer))
    }
  }

  /** Number of peers being compared. */
  get comparing(): number {
    return this.#asked.size
  }

  /** One line per pair, while both nodes are connected. */
  get notices(): string[] {
    this.#forgetClosed()
    return [...this.#pairs.values()].map(({ line }) => line)
  }

  /** Asks both connections twice. A single node would have to change its addresses back and forth between the four requests. */
  async #compare(one: Connection, other: Connection): Promise<void> {
    const { ask, firstWaitMs = FIRST_WAIT_MS } = this.#init
    // a node's addresses may change right after its start
    for (let waitMs = firstWaitMs; waitMs < firstWaitMs * 2 ** COMPARISONS; waitMs *= 2) {
      await delay(waitMs, undefined, { ref: false })
      const records = [await ask(one), await ask(other), await ask(one), await ask(other)]
      if (!records.every((record) => record != null)) {
        return
      }
      const [first, second, firstAgain, secondAgain] = records.map(addressesIn)
      if (first === second) {
        return
      }
      if (first === firstAgain && second === secondAgain) {
        this.#tell([one, other], records.slice(0, 2))
        return
      }
    }
  }

  #tell(connections: Pair['connections'], records: Told[]): void {
    const peer = connections[0].remotePeer.toString()
    const where = records.map(({ multiaddrs }) => multiaddrs[0]?.toString() ?? 'an unknown address').join(' and at ')
    const line = `two nodes run with the key of ${peer}, at ${where}: only one of them gets the calls for this peer ID; each needs a key of its own`
    if (this.#pairs.size < MAX_PAIRS) {
      this.#pairs.set(peer, { connections, line })
    }
    if (this.#lines.take('', LINES)) {
      this.#init.log.warn(line)
    }
  }

  #forgetClosed(): void {
    for (const [peer, { connections }] of this.#pairs) {
      if (connections.some(({ status }) => status !== 'open')) {
        this.#pairs.delete(peer)
      }
    }
  }
}

function addressesIn({ multiaddrs }: Told): string {
  return multiaddrs.map(String).sort().join()
}

function differs(told: string | undefined, addresses: string): boolean {
  return told != null && told !== addresses
}
