import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { FramedSocket } from './framed-socket.ts'

/** Answers every frame; gives the port on loopback. */
export async function listenPlain(answer: (body: Buffer) => Uint8Array): Promise<number> {
  const server = createServer((socket) => {
    const framed = new FramedSocket(socket, (body) => framed.send(answer(body)))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** One connection, kept open; answers come in the order of the requests. */
export class PlainClient implements Disposable {
  readonly #framed: FramedSocket
  readonly #waiting: Array<(body: Buffer) => void> = []

  private constructor(socket: Socket) {
    this.#framed = new FramedSocket(socket, (body) => this.#waiting.shift()?.(body))
  }

  static async open(port: number): Promise<PlainClient> {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    return new PlainClient(socket)
  }

  async request(body: Uint8Array): Promise<Buffer> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      this.#framed.send(body)
    })
  }

  [Symbol.dispose](): void {
    this.#framed.close()
  }
}
