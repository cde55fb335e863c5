import { setTimeout as delay } from 'node:timers/promises'
import type { Connection, Libp2p, PeerId } from '@libp2p/interface'
import type { SignedRecord } from '../../gossip/peer-record.ts'
import type { Logger } from '../../observe/logger.ts'
import { TokenBuckets } from '../../primitives/token-bucket.ts'

/** What counts of a record. */
type Told = Pick<SignedRecord, 'multiaddrs'>

export interface SharedKeysInit {
  log: Logger
  /** Asks the other side of a connection for its record; undefined where it has none. */
  ask(connection: Connection): Promise<Told | undefined>
  /** Milliseconds before connections are compared. @default 1_000 */
  firstWaitMs?: number
}

interface Pair {
  connections: readonly [Connection, Connection]
  line: string
}

/** Peers that are told of at a time. */
const MAX_PAIRS = 10
/** Peers that are asked at a time. */
const MAX_ASKED = 16
/** Before the first comparison, in milliseconds; before each further one twice as long. */
const FIRST_WAIT_MS = 1_000
/** While the records change. */
const COMPARISONS = 5
/** How often connections of one peer are compared. */
const ASKING = { burst: 3, refillMs: 60_000 }
const MAX_PEERS = 1_000
/** Lines in the log, of all peers together. */
const LINES = { burst: 10, refillMs: 60_000 }

/**
 * Notices two live nodes with one key, where both are connected to this node. The sign: the signed records on two connections of a peer have different
 * addresses, and, asked in turn, each connection goes on giving its own. One node gives the same addresses on all its connections. A connection to a node
 * that is gone gives none, nor does a command that only asks. Two nodes with the same addresses, as in two private networks, are not noticed.
 */
export class SharedKeys {
  readonly #init: SharedKeysInit
  /** The addresses in the record that came last on a connection. */
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

  /** To be told of each record that a connected peer tells of itself, its signature checked. */
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

  /** How many peers are asked now. */
  get comparing(): number {
    return this.#asked.size
  }

  /** Each in one line; while both nodes are connected. */
  get notices(): string[] {
    this.#forgetClosed()
    return [...this.#pairs.values()].map(({ line }) => line)
  }

  /** One node would have to change its addresses to and fro between four questions. */
  async #compare(one: Connection, other: Connection): Promise<void> {
    const { ask, firstWaitMs = FIRST_WAIT_MS } = this.#init
    // the addresses of a node that has just started change
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
