import { EventEmitter, once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { newPeer } from './keys.ts'

/** What hangs up on everybody who connects: a bootstrap that is tried again and again. */
export class HangsUp {
  readonly address: string
  readonly #came: EventEmitter
  readonly #close: () => void

  private constructor(address: string, came: EventEmitter, close: () => void) {
    this.address = address
    this.#came = came
    this.#close = close
  }

  static async listen(): Promise<HangsUp> {
    const came = new EventEmitter()
    const server = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.destroy()
      came.emit('socket')
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { peerId } = await newPeer()
    const { port } = server.address() as AddressInfo
    return new HangsUp(`/ip4/127.0.0.1/tcp/${port}/p2p/${peerId.toString()}`, came, () => server.close())
  }

  /** Waits until so many more have connected. */
  async tried(times: number): Promise<void> {
    for (let count = 0; count < times; count++) {
      await once(this.#came, 'socket')
    }
  }

  close(): void {
    this.#close()
  }
}
