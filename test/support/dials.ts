import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'

const CHANNEL = 'net.client.socket'

/** The TCP connections that this process opens, by the port that they go to. */
export class Dials {
  readonly #ports: number[] = []
  readonly #onSocket = (message: unknown): void => {
    const { socket } = message as { socket: Socket }
    socket.once('connect', () => this.#ports.push(socket.remotePort ?? 0))
  }

  constructor() {
    subscribe(CHANNEL, this.#onSocket)
  }

  /** How many went to this port, since it began to count. */
  to(port: number): number {
    return this.#ports.filter((each) => each === port).length
  }

  forget(): void {
    this.#ports.length = 0
  }

  stop(): void {
    unsubscribe(CHANNEL, this.#onSocket)
  }
}
