import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** Passes connections on to a port of this machine, each byte some time later, at any bandwidth. */
export class DelayedProxy {
  readonly port: number
  readonly #server: Server
  readonly #sockets: Set<Socket>

  private constructor(server: Server, sockets: Set<Socket>) {
    this.#server = server
    this.#sockets = sockets
    this.port = (server.address() as AddressInfo).port
  }

  /** @param delayMs of each way */
  static async to(port: number, delayMs: number): Promise<DelayedProxy> {
    const sockets = new Set<Socket>()
    const server = createServer({ noDelay: true }, (inbound) => {
      const outbound = connect({ port, host: '127.0.0.1', noDelay: true })
      for (const [from, to] of [
        [inbound, outbound],
        [outbound, inbound],
      ] as const) {
        sockets.add(from)
        from.on('error', () => to.destroy())
        from.on('close', () => to.destroy())
        // timers of one length run out in the order in which they were set
        from.on('data', (chunk) => setTimeout(() => to.writable && to.write(chunk), delayMs))
      }
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new DelayedProxy(server, sockets)
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) {
      socket.destroy()
    }
  }
}
