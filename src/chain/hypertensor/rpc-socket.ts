import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'
import { describeError } from '../../primitives/errors.ts'
import { withoutSecretsOf } from '../../primitives/shown-url.ts'
import { nameOf } from './endpoints.ts'
import { RpcError } from './rpc-error.ts'

/** The request after a period of silence. Every node answers it, with a short response. */
const PING = { method: 'chain_getBlockHash', params: [0] }
const UNKNOWN_METHOD = -32_601
/** Unsolicited answers after which the endpoint counts as broken; some late ones are normal. */
const MAX_STRAY = 1_000
const MAX_ERROR_LENGTH = 300

export interface SocketOptions {
  /** Time limit for opening the WebSocket, in milliseconds. */
  connectTimeoutMs: number
  /** A larger message ends the connection before it is read. */
  maxMessageBytes: number
  /** During a call: milliseconds without a byte until a ping is sent. */
  pingAfterMs: number
  /** Milliseconds after the ping until the connection is closed. */
  silenceMs: number
  /** Replaces `pingAfterMs` while only a subscription waits for its next block. */
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

/** JSON-RPC over one WebSocket to one endpoint. When the connection ends, all pending calls fail. */
export class RpcSocket {
  readonly endpoint: string
  /** Resolves with the reason when the connection ends. */
  readonly ended: Promise<RpcError>
  /** Called at once, before pending calls fail. */
  onEnd: ((error: RpcError) => void) | undefined
  readonly openedAtMs = performance.now()
  /** `performance.now()` at the last message of the endpoint. */
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
  /** True if a caller gave up and nothing has been heard since. */
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
    // loaded on the first connection: a node may never connect
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
      socket.end('the connection was given up')
      throw error
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** Removes the secrets of the endpoint's URL from text, because an endpoint or a library may repeat them. */
  shown(text: string): string {
    return withoutSecretsOf(this.endpoint, text)
  }

  /** True when no more calls are possible. */
  get isOver(): boolean {
    return this.#over != null
  }

  /**
   * Performs one call. With `onNotice` the call is a subscription, and `onNotice` receives its notifications.
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

  /** Ends a subscription. */
  unsubscribe(method: string, subscription: unknown): void {
    if (this.#notices.delete(String(subscription)) && this.#over == null) {
      this.call(method, [subscription], NEVER).catch(() => undefined)
    }
    this.#watchSilence()
  }

  /** Closes the connection at once and fails all pending calls with the reason. May be called twice. */
  end(reason: string, cause?: unknown): void {
    if (this.#over != null) {
      return
    }
    const error = (what: string): RpcError =>
      new RpcError('connection', `chain ${nameOf(this.endpoint)}: ${what}${reason}`, {
        cause,
        hint: 'check that a node of the chain runs there; --chain accepts several endpoints, separated by commas',
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
      this.end('the endpoint sent a message that is not JSON-RPC')
      return
    }
    const pending = typeof message.id === 'number' ? this.#pending.get(message.id) : undefined
    const onNotice = this.#notices.get(String(message.params?.subscription))
    if (pending != null) {
      this.#settle(pending, message)
    } else if (onNotice != null) {
      onNotice(message.params?.result)
    } else if (++this.#stray > MAX_STRAY) {
      this.end('the endpoint answers calls that were not made')
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
      // at once: the first notification may be in the same packet
      this.#notices.set(String(result), onNotice)
    }
    resolve(result)
  }

  /** One timer, active while an answer or a notification is awaited. */
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
    // a partial large message is not silence
    const heard = (this.#tcp?.bytesRead ?? 0) > this.#bytesRead
    if (heard) {
      this.heardAtMs = performance.now()
    } else if (this.#pinged) {
      this.end('the endpoint is silent')
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

/** An endpoint's text, quoted by an error, on one line without control characters. */
function onOneLine(text: string): string {
  return text.replace(/[\p{C}\u2028\u2029]/gu, ' ')
}
