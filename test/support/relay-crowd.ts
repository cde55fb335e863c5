import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { constants, setPriority } from 'node:os'

/** Strangers at a relay. */
export interface RelayCrowd {
  /** The relay's multiaddr. */
  address: string
  /** They say that they are of the subnet whose DHT this is; else of none. */
  kadProtocol?: string
  /** As many peers come. */
  peers: number
  /** From these addresses of loopback, in turn. */
  hosts: string[]
}

/** What they ask for. */
export interface RelayAttack {
  /** Requests for a place, of all peers in turn. */
  reservations: number
  /** Calls of 20 of them to those that have a place. */
  circuits: number
  /** The requests for a place are made within this time, evenly; all at once unless given. */
  spreadMs?: number
  /** Sent on each circuit to a peer that never reads. @default 0 */
  bytes?: number
}

export type StrangersCommand = ({ do: 'come' } & RelayCrowd) | ({ do: 'attack' } & RelayAttack) | { do: 'leave' }

/** How often the relay answered what, by the status. */
export type Answers = Record<number, number>

export interface AttackAnswers {
  reservations: Answers
  circuits: Answers
}

/** A process with peers of js-libp2p that ask a relay for more than it gives. */
export class RelayStrangers {
  readonly #child: ChildProcess
  readonly #ended: Promise<never>

  constructor() {
    this.#child = fork(new URL('./relay-strangers.ts', import.meta.url))
    this.#ended = once(this.#child, 'close').then(() => Promise.reject(new Error('the process of strangers ended')))
    this.#ended.catch(() => undefined)
  }

  /** They connect, and identify themselves. */
  async come(crowd: RelayCrowd): Promise<void> {
    await this.#tell({ do: 'come', ...crowd })
  }

  async attack(attack: RelayAttack): Promise<AttackAnswers> {
    return (await this.#tell({ do: 'attack', ...attack })) as AttackAnswers
  }

  async leave(): Promise<void> {
    await this.#tell({ do: 'leave' })
  }

  /** They take only the time that no other process wants: elsewhere they have machines of their own. */
  stepBack(): void {
    setPriority(this.#child.pid ?? 0, constants.priority.PRIORITY_LOW)
  }

  async end(): Promise<void> {
    if (this.#child.exitCode == null && this.#child.signalCode == null) {
      const closed = once(this.#child, 'close')
      this.#child.kill('SIGKILL')
      await closed
    }
  }

  async #tell(command: StrangersCommand): Promise<unknown> {
    this.#child.send(command)
    const [answer] = await Promise.race([once(this.#child, 'message'), this.#ended])
    return answer
  }
}
