import { createServer as createHttpServer } from 'node:http'
import { createServer as createHttp2Server } from 'node:http2'
import { createServer, type Server, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { ControlService } from '../../gen/subnet/control/v1/control_pb.ts'
import { NodeError } from '../../node/home/errors.ts'
import type { Home } from '../../node/home/home.ts'
import type { Logger } from '../../observe/logger.ts'
import type { Session } from '../session.ts'
import { answerRequests } from './control-requests.ts'
import { serviceOf } from './control-service.ts'
import { listenForCommands } from './control-socket.ts'

const WINDOW_BYTES = 1 << 20
/** A call that fails during its upload ends in a stream reset. By default, Node closes a connection after a thousand resets. */
const UNLIMITED_RESETS = { streamResetBurst: 2 ** 31 - 1, streamResetRate: 2 ** 31 - 1 }
/** The first bytes of every HTTP/2 connection. */
const HTTP2_PREFACE = 'PRI '
/** The time that running calls have to end when the node stops. */
const DRAIN_MS = 1_000
/** The interval between checks that the socket file still exists. */
const LOOK_EVERY_MS = 1_000

/** The node's side of the home's control socket. */
export interface SocketOwner {
  home: Home
  /** True while the home exists and this node holds it. */
  holdsHome(): Promise<boolean>
  log: Logger
}

/** Serves other processes of the same user: the Connect protocol over HTTP/1.1 and HTTP/2 on the home's socket. */
export class ControlServer {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #closing = new AbortController()
  readonly #idle = new EventTarget()
  #isInPlace: (() => Promise<boolean>) | undefined
  #looking: NodeJS.Timeout | undefined
  #calls = 0

  constructor(session: Session) {
    const handle = answerRequests((router) => router.service(ControlService, serviceOf(session, this.#closing.signal)))
    const counted: typeof handle = (request, response) => {
      this.#calls++
      response.once('close', () => {
        this.#calls--
        this.#idle.dispatchEvent(new Event('call:end'))
      })
      handle(request, response)
    }
    const http = createHttpServer(counted)
    const http2 = createHttp2Server({ settings: { initialWindowSize: WINDOW_BYTES }, ...UNLIMITED_RESETS }, counted)
    this.#server = createServer((socket) => {
      this.#keep(socket)
      socket.once('data', (first: Buffer) => {
        socket.pause()
        socket.unshift(first)
        const protocol = first.toString('latin1', 0, HTTP2_PREFACE.length) === HTTP2_PREFACE ? http2 : http
        protocol.emit('connection', socket)
        process.nextTick(() => socket.resume())
      })
    })
  }

  /** Listens; the caller must hold the home's lock. A removed or replaced socket file is restored. @throws UsageError */
  async listen(owner: SocketOwner): Promise<void> {
    this.#isInPlace = await listenForCommands(owner.home, this.#server)
    this.#lookAgain(owner)
  }

  #lookAgain(owner: SocketOwner): void {
    this.#looking = setTimeout(() => {
      void this.#putBack(owner).finally(() => (this.#closing.signal.aborted ? undefined : this.#lookAgain(owner)))
    }, LOOK_EVERY_MS).unref()
  }

  async #putBack({ home, holdsHome, log }: SocketOwner): Promise<void> {
    try {
      if ((await this.#isInPlace?.()) === true || !(await holdsHome()) || this.#closing.signal.aborted) {
        return
      }
      this.#server.close()
      this.#isInPlace = await listenForCommands(home, this.#server)
      if (this.#closing.signal.aborted) {
        this.#server.close()
        return
      }
      log.warn('the control socket had been removed, and was created again')
    } catch (error) {
      log.debug('the control socket had been removed, and cannot be created again', error)
    }
  }

  /** Refuses new connections, and ends open-ended streams. */
  refuse(): void {
    clearTimeout(this.#looking)
    this.#server.close()
    this.#closing.abort(new NodeError('NOT_RUNNING', 'the node stops'))
  }

  /** Waits up to a second for the running calls to end. */
  async drained(): Promise<void> {
    const enough = new AbortController()
    const ended = new Promise<void>((resolve) => {
      const check = (): void => (this.#calls === 0 ? resolve() : undefined)
      this.#idle.addEventListener('call:end', check)
      check()
    })
    await Promise.race([ended, delay(DRAIN_MS, undefined, { signal: enough.signal }).catch(() => undefined)])
    enough.abort()
  }

  /** Closes every connection at once. */
  destroy(): void {
    for (const socket of this.#sockets) {
      socket.destroy()
    }
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#sockets.delete(socket))
  }
}
