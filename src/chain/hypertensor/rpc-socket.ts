import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'
import { describeError } from '../../primitives/errors.ts'
import { withoutSecretsOf } from '../../primitives/shown-url.ts'
import { nameOf } from './endpoints.ts'
import { RpcError } from './rpc-error.ts'

/** What is asked when nothing was heard for a while: every node answers it, and shortly. */
const PING = { method: 'chain_getBlockHash', params: [0] }
const UNKNOWN_METHOD = -32_601
/** Answers to what was not asked, after which the endpoint is taken for broken; late ones are normal. */
const MAX_STRAY = 1_000
const MAX_ERROR_LENGTH = 300

export interface SocketOptions {
  /** Until the WebSocket is open, in milliseconds. */
  connectTimeoutMs: number
  /** A message that is larger ends the connection, before it is read. */
  maxMessageBytes: number
  /** While something is awaited: after this many milliseconds without a byte the endpoint is asked for a word. */
  pingAfterMs: number
  /** After so many more it is given up. */
  silenceMs: number
  /** In place of `pingAfterMs` while a subscription waits for its next block. */
  idleSilenceMs: number
}

interface Pending {
  method: string
  onNotice: ((notice: unknown) => void) | undefined
  resolve(result: unknown): void
  reject(error: RpcError): void
}

interface Message {
  id?: unknown
  result?: unknown
  error?: { code?: unknown; message?: unknown; data?: unknown } | null
  params?: { subscription?: unknown; result?: unknown } | null
}

/** JSON-RPC over one WebSocket to one endpoint. When it ends, whatever was awaited fails. */
export class RpcSocket {
  readonly endpoint: string
  /** Settles when the connection is no more, with why. */
  readonly ended: Promise<RpcError>
  /** Told at once, before those whose calls fail. */
  onEnd: ((error: RpcError) => void) | undefined
  readonly openedAtMs = performance.now()
  /** `performance.now()` when the endpoint was heard last. */
  heardAtMs = performance.now()
  readonly #webSocket: WebSocket
  readonly #options: SocketOptions
  readonly #pending = new Map<number, Pending>()
  readonly #notices = new Map<string, (notice: unknown) => void>()
  readonly #ended = Promise.withResolvers<RpcError>()
  #tcp: Socket | undefined
  #bytesRead = 0
  #silence: NodeJS.Timeout | undefined
  #pinged = false
  /** Somebody gave up waiting, and nothing was heard since. */
  #owesAnswer = false
  #nextId = 1
  #stray = 0
  #over: RpcError | undefined

  private constructor(endpoint: string, options: SocketOptions, webSocket: WebSocket) {
    this.endpoint = endpoint
    this.ended = this.#ended.promise
    this.#options = options
    this.#webSocket = webSocket
    this.#webSocket.on('upgrade', ({ socket }) => {
      this.#tcp = socket
    })
    this.#webSocket.on('message', (data) => this.#onMessage(String(data)))
    this.#webSocket.on('error', (cause) => this.end(this.shown(describeError(cause)), cause))
    this.#webSocket.on('close', (code) => this.end(`the connection was closed (${code})`))
  }

  /** @throws RpcError; the signal's reason */
  static async open(endpoint: string, options: SocketOptions, signal: AbortSignal): Promise<RpcSocket> {
    // loaded by the first who connects: a node may never do
    const { WebSocket } = await import('ws')
    signal.throwIfAborted()
    const { connectTimeoutMs: handshakeTimeout, maxMessageBytes: maxPayload } = options
    const webSocket = new WebSocket(endpoint, { handshakeTimeout, maxPayload, perMessageDeflate: false })
    const socket = new RpcSocket(endpoint, options, webSocket)
    const opened = Promise.withResolvers<void>()
    const onAbort = (): void => opened.reject(signal.reason)
    socket.#webSocket.once('open', opened.resolve)
    signal.addEventListener('abort', onAbort)
    void socket.ended.then(opened.reject)
    try {
      await opened.promise
      return socket
    } catch (error) {
      socket.end('it was given up')
      throw error
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** What the endpoint or a library said, without the secrets of the endpoint's URL: either may repeat it. */
  shown(text: string): string {
    return withoutSecretsOf(this.endpoint, text)
  }

  /** True when nothing can be asked any more. */
  get isOver(): boolean {
    return this.#over != null
  }

  /**
   * One call. With `onNotice` it is a subscription, whose notices are given from then on.
   * @throws RpcError; the signal's reason, and then the answer is ignored
   */
  async call(method: string, params: unknown[], signal: AbortSignal, onNotice?: (notice: unknown) => void): Promise<unknown> {
    signal.throwIfAborted()
    if (this.#webSocket.readyState !== this.#webSocket.OPEN) {
      this.end('the endpoint closes the connection')
    }
    if (this.#over != null) {
      throw this.#over
    }
    if (this.#pending.size === 0 && !this.#owesAnswer) {
      this.#stopWatching()
    }
    const id = this.#nextId++
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    const onAbort = (): void => {
      this.#owesAnswer = true
      reject(signal.reason)
    }
    this.#pending.set(id, { method, onNotice, resolve, reject })
    signal.addEventListener('abort', onAbort)
    this.#webSocket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }))
    this.#watchSilence()
    try {
      return await promise
    } finally {
      signal.removeEventListener('abort', onAbort)
      this.#pending.delete(id)
      this.#watchSilence()
    }
  }

  /** Gives up a subscription. */
  unsubscribe(method: string, subscription: unknown): void {
    if (this.#notices.delete(String(subscription)) && this.#over == null) {
      this.call(method, [subscription], NEVER).catch(() => undefined)
    }
    this.#watchSilence()
  }

  /** Cuts the connection at once, saying why to all who wait. May be called twice. */
  end(reason: string, cause?: unknown): void {
    if (this.#over != null) {
      return
    }
    const error = (what: string): RpcError =>
      new RpcError('connection', `chain ${nameOf(this.endpoint)}: ${what}${reason}`, {
        cause,
        hint: 'is a node of the chain running there? --chain may name several endpoints, separated by commas',
      })
    this.#over = error('')
    clearTimeout(this.#silence)
    this.onEnd?.(this.#over)
    for (const { method, reject } of this.#pending.values()) {
      reject(error(`${method}: `))
    }
    this.#notices.clear()
    this.#webSocket.terminate()
    this.#ended.resolve(this.#over)
  }

  #onMessage(text: string): void {
    if (this.#over != null) {
      return
    }
    this.heardAtMs = performance.now()
    if (this.#pinged) {
      this.#stopWatching()
    }
    this.#owesAnswer = false
    const message = parse(text)
    if (message == null) {
      this.end('it sent what is no JSON-RPC')
      return
    }
    const pending = typeof message.id === 'number' ? this.#pending.get(message.id) : undefined
    const onNotice = this.#notices.get(String(message.params?.subscription))
    if (pending != null) {
      this.#settle(pending, message)
    } else if (onNotice != null) {
      onNotice(message.params?.result)
    } else if (++this.#stray > MAX_STRAY) {
      this.end('it answers what it was not asked')
    }
    this.#watchSilence()
  }

  #settle({ method, onNotice, resolve, reject }: Pending, { result, error }: Message): void {
    const what = `chain ${nameOf(this.endpoint)}: ${method}`
    if (error != null) {
      const detail = typeof error.data === 'string' ? `: ${error.data}` : ''
      const text = this.shown(`${String(error.message ?? 'an error without a message')}${detail}`).slice(0, MAX_ERROR_LENGTH)
      const fault = error.code === UNKNOWN_METHOD ? 'unknown-method' : 'refused'
      const rpcCode = typeof error.code === 'number' ? error.code : undefined
      reject(
        new RpcError(fault, `${what}: ${onOneLine(text)} (${onOneLine(this.shown(String(error.code)).slice(0, 20))})`, {
          rpcCode,
        }),
      )
      return
    }
    if (result === undefined) {
      reject(new RpcError('unreadable', `${what}: an answer that is neither a result nor an error`))
      return
    }
    if (onNotice != null) {
      // at once: the first notice may be in the same packet
      this.#notices.set(String(result), onNotice)
    }
    resolve(result)
  }

  /** One timer, while something is awaited. */
  #watchSilence(): void {
    const isAwaited = this.#pending.size > 0 || this.#owesAnswer
    if (this.#over != null || (!isAwaited && this.#notices.size === 0)) {
      this.#stopWatching()
      return
    }
    if (this.#silence == null) {
      this.#bytesRead = this.#tcp?.bytesRead ?? 0
      const { pingAfterMs, silenceMs, idleSilenceMs } = this.#options
      this.#silence = setTimeout(() => this.#onSilence(), this.#pinged ? silenceMs : isAwaited ? pingAfterMs : idleSilenceMs)
    }
  }

  #stopWatching(): void {
    clearTimeout(this.#silence)
    this.#silence = undefined
    this.#pinged = false
  }

  #onSilence(): void {
    this.#silence = undefined
    // half of a large message is no silence
    const heard = (this.#tcp?.bytesRead ?? 0) > this.#bytesRead
    if (heard) {
      this.heardAtMs = performance.now()
    } else if (this.#pinged) {
      this.end('it is silent')
      return
    }
    this.#pinged = !heard
    this.#watchSilence()
    if (!heard) {
      this.call(PING.method, PING.params, NEVER).catch(() => undefined)
    }
  }
}

const NEVER = new AbortController().signal

function parse(text: string): Message | undefined {
  try {
    const message: unknown = JSON.parse(text)
    return message != null && typeof message === 'object' && !Array.isArray(message) ? message : undefined
  } catch {
    return undefined
  }
}

/** The words of an endpoint, which an error quotes, on one line without control characters. */
function onOneLine(text: string): string {
  return text.replace(/[\p{C}\u2028\u2029]/gu, ' ')
}
