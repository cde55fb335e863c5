import type { Connection, Libp2p, Stream, StreamMuxer, StreamMuxerFactory } from '@libp2p/interface'
import { raceSignal } from 'race-signal'
import { ProtocolError } from '../../protocol/api/errors.ts'

/** Yamux or QUIC, by what is used of it here: yamux's own types would have to be installed by who uses this package's. */
type PingingMuxers = () => StreamMuxerFactory<StreamMuxer & { ping(): Promise<number>; getRTT(): number; received?(): number }>

/** Ticks without a byte until the node pings. */
const PING_AFTER_TICKS = 3
/** Ticks without a byte until the connection is in doubt. */
const DOUBT_AFTER_TICKS = PING_AFTER_TICKS + 1
/** Ticks without a byte until the connection is closed. A peer whose event loop stands still for 5 s answers the ping before. */
const DEAD_AFTER_TICKS = 12

export interface LivenessInit {
  /** In milliseconds. @default 1_000 */
  tickMs?: number | undefined
}

/** The other side of a connection. */
interface Line {
  /** Since its last byte. */
  silentTicks: number
  /** Resolves it, with a round trip; never where the other side is gone. */
  ping(): Promise<number>
  /** Of the last ping, in milliseconds; negative before. */
  rttMs(): number
  /** Changes with what comes, where no event tells of that. */
  received(): number
  lastReceived: number
  /** Told of its next byte, and of its end. */
  waiting: Array<() => void>
}

/**
 * Closes connections whose other side says nothing any more: a frozen process, a machine that is gone, a path that drops packets in silence. Any byte
 * is a sign of life; where none comes, yamux pings. Ticks are counted, not time: a node that stood still itself gives its peers their time anew.
 */
export class Liveness {
  readonly #tickMs: number
  /** By the list of the muxer's streams, which is all that a connection shows of its muxer. */
  readonly #lines = new WeakMap<readonly Stream[], Line>()
  readonly #connections = new Set<Connection>()
  #clock: NodeJS.Timeout | undefined

  constructor({ tickMs = 1_000 }: LivenessInit = {}) {
    this.#tickMs = tickMs
  }

  /** Notes what comes on the connections of a muxer. */
  watching(inner: PingingMuxers): PingingMuxers {
    return () => {
      const factory = inner()
      return {
        protocol: factory.protocol,
        createStreamMuxer: (under) => {
          const muxer = factory.createStreamMuxer(under)
          const line: Line = {
            silentTicks: 0,
            ping: async () => muxer.ping(),
            rttMs: () => muxer.getRTT(),
            received: () => muxer.received?.() ?? 0,
            lastReceived: 0,
            waiting: [],
          }
          under.addEventListener('message', () => heard(line))
          under.addEventListener('close', () => heard(line))
          this.#lines.set(muxer.streams, line)
          return muxer
        },
      }
    }
  }

  follow(libp2p: Pick<Libp2p, 'addEventListener'>): void {
    libp2p.addEventListener('connection:open', ({ detail }) => this.#onOpen(detail))
    libp2p.addEventListener('connection:close', ({ detail }) => this.#onClose(detail))
  }

  /** True while a ping is unanswered: what is sent now may reach nobody. */
  inDoubt(connection: Connection): boolean {
    return (this.#lines.get(connection.streams)?.silentTicks ?? 0) >= DOUBT_AFTER_TICKS
  }

  /** What the last ping took, in milliseconds; 0 before there was one. */
  rttMsOf(connection: Connection): number {
    return Math.max(0, this.#lines.get(connection.streams)?.rttMs() ?? 0)
  }

  /** Those that are in doubt stand last. */
  soundFirst(connections: Connection[]): Connection[] {
    return connections.length < 2 ? connections : connections.sort((a, b) => Number(this.inDoubt(a)) - Number(this.inDoubt(b)))
  }

  /** Waits until the other side of a connection in doubt is heard, or the connection is closed. @throws the signal's reason */
  async settled(connection: Connection, signal: AbortSignal | undefined): Promise<void> {
    const line = this.#lines.get(connection.streams)
    if (line != null && connection.status === 'open' && this.inDoubt(connection)) {
      await raceSignal(new Promise<void>((resolve) => line.waiting.push(resolve)), signal)
    }
  }

  #onOpen(connection: Connection): void {
    if (connection.status === 'open') {
      this.#connections.add(connection)
      this.#clock ??= setInterval(this.#tick, this.#tickMs).unref()
    }
  }

  #onClose(connection: Connection): void {
    this.#connections.delete(connection)
    if (this.#connections.size === 0) {
      clearInterval(this.#clock)
      this.#clock = undefined
    }
  }

  readonly #tick = (): void => {
    for (const connection of this.#connections) {
      const line = this.#lines.get(connection.streams)
      if (line != null) {
        this.#look(connection, line)
      }
    }
  }

  #look(connection: Connection, line: Line): void {
    const rttMs = line.rttMs()
    if (rttMs >= 0) {
      connection.rtt = rttMs
    }
    const received = line.received()
    if (received !== line.lastReceived) {
      line.lastReceived = received
      heard(line)
    }
    line.silentTicks++
    if (line.silentTicks >= DEAD_AFTER_TICKS) {
      const seconds = (DEAD_AFTER_TICKS * this.#tickMs) / 1_000
      connection.abort(new ProtocolError('REMOTE_FAILED', `the peer said nothing for ${seconds} s, not even to a ping`))
    } else if (line.silentTicks === PING_AFTER_TICKS) {
      // one that fails is of a connection that is closing
      line.ping().catch(() => undefined)
    }
  }
}

function heard(line: Line): void {
  line.silentTicks = 0
  for (const resolve of line.waiting.splice(0)) {
    resolve()
  }
}
