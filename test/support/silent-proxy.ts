import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** Passes connections on to a port of this machine. Those that are silenced stay open, and carry nothing any more: as behind a NAT that forgot them. */
export class SilentProxy {
  readonly port: number
  readonly #server: Server
  readonly #sockets: Set<Socket>

  private constructor(server: Server, sockets: Set<Socket>) {
    this.#server = server
    this.#sockets = sockets
    this.port = (server.address() as AddressInfo).port
  }

  static async to(port: number): Promise<SilentProxy> {
    const sockets = new Set<Socket>()
    const server = createServer((inbound) => {
      const outbound = connect(port, '127.0.0.1')
      for (const [from, to] of [
        [inbound, outbound],
        [outbound, inbound],
      ] as const) {
        sockets.add(from)
        from.on('error', () => to.destroy())
        from.on('close', () => to.destroy())
        from.pipe(to)
      }
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new SilentProxy(server, sockets)
  }

  /** From now on the connections that are open carry nothing, their end neither; new ones do. */
  silence(): void {
    for (const socket of this.#sockets) {
      socket.removeAllListeners('close').removeAllListeners('error')
      socket.on('error', () => undefined)
      socket.unpipe()
      socket.resume()
    }
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) {
      socket.destroy()
    }
  }
}
