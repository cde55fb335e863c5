import type { Connection, Libp2p, Stream, StreamMuxer, StreamMuxerFactory } from '@libp2p/interface'
import { raceSignal } from 'race-signal'
import { ProtocolError } from '../../protocol/api/errors.ts'

/** Structural type of yamux and QUIC muxers. Yamux's own types would become a dependency of this package's users. */
type PingingMuxers = () => StreamMuxerFactory<StreamMuxer & { ping(): Promise<number>; getRTT(): number; received?(): number }>

/** Ticks without received data before a ping. */
const PING_AFTER_TICKS = 3
/** Ticks without received data before the connection is in doubt. */
const DOUBT_AFTER_TICKS = PING_AFTER_TICKS + 1
/** Ticks without received data before the connection is closed. A peer whose event loop stalls for 5 s still answers the ping in time. */
const DEAD_AFTER_TICKS = 12

export interface LivenessInit {
  /** Milliseconds per tick. @default 1_000 */
  tickMs?: number | undefined
}

/** State of one connection. */
interface Line {
  /** Ticks since the last received data. */
  silentTicks: number
  /** Resolves with a round-trip time. Never resolves if the peer is gone. */
  ping(): Promise<number>
  /** Round-trip time of the last ping in milliseconds. Negative before the first. */
  rttMs(): number
  /** Changes with received data, for muxers without message events. */
  received(): number
  lastReceived: number
  /** Called on the next received data, and on close. */
  waiting: Array<() => void>
}

/**
 * Closes connections to unresponsive peers: a frozen process, a machine that is gone, or a path that silently drops packets. Any received
 * data is a sign of life. On silence, the muxer pings. Silence is counted in ticks, not in time, so a node that stalled itself gives its
 * peers a full period.
 */
export class Liveness {
  readonly #tickMs: number
  /** State by the muxer's stream list, the only part of the muxer that a connection exposes. */
  readonly #lines = new WeakMap<readonly Stream[], Line>()
  readonly #connections = new Set<Connection>()
  #clock: NodeJS.Timeout | undefined

  constructor({ tickMs = 1_000 }: LivenessInit = {}) {
    this.#tickMs = tickMs
  }

  /** Tracks received data on the connections of a muxer. */
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

  /** True while a ping is unanswered. Data sent now may be lost. */
  inDoubt(connection: Connection): boolean {
    return (this.#lines.get(connection.streams)?.silentTicks ?? 0) >= DOUBT_AFTER_TICKS
  }

  /** Round-trip time of the last ping, in milliseconds. 0 before the first. */
  rttMsOf(connection: Connection): number {
    return Math.max(0, this.#lines.get(connection.streams)?.rttMs() ?? 0)
  }

  /** Sorts connections in doubt last. */
  soundFirst(connections: Connection[]): Connection[] {
    return connections.length < 2 ? connections : connections.sort((a, b) => Number(this.inDoubt(a)) - Number(this.inDoubt(b)))
  }

  /** Waits until a connection in doubt receives data or is closed. @throws the signal's reason */
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
      connection.abort(new ProtocolError('REMOTE_FAILED', `the peer was silent for ${seconds} s and answered no ping`))
    } else if (line.silentTicks === PING_AFTER_TICKS) {
      // a ping fails only on a closing connection
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
