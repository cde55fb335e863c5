import { EventEmitter, once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'
import { BLOCK_KEY, TIME_KEY } from '../../src/chain/hypertensor/runtime.ts'
import { HypertensorState } from './hypertensor-state.ts'
import { StandInHeads } from './stand-in-heads.ts'
import { PoolError, type StandInBlock, StandInPool } from './stand-in-pool.ts'
import { StandInStorageFeed } from './stand-in-storage-feed.ts'

/** How an endpoint can fail. */
export type Fault =
  | 'silent'
  | 'garbage'
  | 'wrong ids'
  | 'wrong types'
  | 'error'
  | 'rate limit'
  | 'drop'
  | 'half-closed'
  | 'too large'
  | 'neither result nor error'

interface Request {
  id: unknown
  method: string
  params: unknown[]
}

type Method = (params: unknown[], socket: WebSocket) => unknown

export interface StandInOptions {
  state?: HypertensorState
  /** Knows only what the README of the fixtures names: no headers, no subscriptions. */
  strict?: boolean
  /** Methods that are unknown beside. */
  without?: string[]
  /** Of this machine. @default the loopback */
  host?: string
}

const ANSWER_AFTER_MS = 2
const TOO_LARGE = Buffer.alloc(17 * 1_024 * 1_024, ' ')
/** `System.Events`. */
const EVENTS_KEY = '0x26aa394eea5630e07c48ae0c9558cef780d41e5e16056765bc8461851072c9d7'

/** The method, or what it calls in the runtime. */
function nameOf({ method, params }: Request): string {
  return method === 'state_call' ? String(params[0]) : method
}

/** A node of a chain, as far as its JSON-RPC goes: it answers from a recorded state, and fails in whatever way a test asks for. */
export class StandInChain {
  readonly state: HypertensorState
  readonly pool: StandInPool
  readonly heads = new StandInHeads()
  readonly storageFeed: StandInStorageFeed
  /** Makes a block as soon as something is handed in; false: only when a test says so. */
  makesBlocks = true
  /** New blocks have the time of this machine, and so many milliseconds; undefined: no time. */
  blockTimesAheadMs: number | undefined
  /** How often each method was called; calls of the runtime under their own names. */
  readonly calls = new Map<string, number>()
  /** Times that a request came while none was being answered: what a client waits for. */
  roundTrips = 0
  /** Connections that were opened. */
  connections = 0
  /** How it fails, for all methods or those in `faulty`. */
  fault: Fault | undefined
  faulty: string[] | undefined
  answerAfterMs = ANSWER_AFTER_MS
  /** The methods that take `answerAfterMs`; without it all do. */
  slow: string[] | undefined
  readonly #methods: Map<string, Method>
  readonly #events = new EventEmitter()
  readonly #subscribers = new Map<string, WebSocket>()
  readonly #watched = new Map<string, { socket: WebSocket; hex: string }>()
  #server: WebSocketServer | undefined
  readonly #host: string
  #port = 0
  #answering = 0
  /** Sockets that asked for the hash of the genesis block. */
  readonly #greeted = new WeakSet<WebSocket>()

  private constructor({ state = new HypertensorState(), strict = false, without = [], host = '127.0.0.1' }: StandInOptions) {
    this.#host = host
    this.state = state
    this.pool = new StandInPool(state)
    this.storageFeed = new StandInStorageFeed(state)
    const methods = { ...this.#recorded(), ...(strict ? {} : { ...this.#heads(), ...this.#writing() }) }
    this.#methods = new Map(Object.entries(methods).filter(([name]) => !without.includes(name)))
  }

  /** On a free port. */
  static async start(options: StandInOptions = {}): Promise<StandInChain> {
    const chain = new StandInChain(options)
    await chain.listen()
    return chain
  }

  get url(): string {
    return `ws://${this.#host}:${this.#port}`
  }

  /** Again at the same port, after `stop`. */
  async listen(): Promise<void> {
    this.#server = new WebSocketServer({ host: this.#host, port: this.#port })
    this.#server.on('connection', (socket) => {
      this.connections++
      socket.setMaxListeners(0)
      socket.on('message', (data) => this.#onRequest(socket, String(data)))
      socket.on('error', () => undefined)
      this.#events.emit('connection')
    })
    await once(this.#server, 'listening')
    this.#port = (this.#server.address() as AddressInfo).port
  }

  /** Cuts all connections and takes no more. */
  async stop(): Promise<void> {
    const server = this.#server
    this.drop()
    this.#server = undefined
    if (server != null) {
      await new Promise((resolve) => server.close(resolve))
    }
  }

  /** Cuts all connections. */
  drop(): void {
    for (const socket of this.#server?.clients ?? []) {
      // one that was half-closed is paused
      socket.resume()
      socket.terminate()
    }
    this.#subscribers.clear()
    this.#watched.clear()
    this.storageFeed.clear()
  }

  /** Lets a method answer this from now on. */
  answer(method: string, answer: (params: unknown[]) => unknown): void {
    this.#methods.set(method, answer)
  }

  get openConnections(): number {
    return this.#server?.clients.size ?? 0
  }

  count(method: string): number {
    return this.calls.get(method) ?? 0
  }

  resetCounts(): void {
    this.calls.clear()
    this.roundTrips = 0
  }

  /** The next call of a method. */
  async called(method: string): Promise<void> {
    await once(this.#events, method)
  }

  /** The next block, told to those who subscribed. */
  newHead(): void {
    this.state.block++
    if (this.blockTimesAheadMs != null) {
      this.tellTime(Date.now() + this.blockTimesAheadMs)
    }
    if (this.state.storage.has(BLOCK_KEY)) {
      this.tellBlockInStorage()
    }
    this.storageFeed.tell()
    for (const [subscription, socket] of this.#subscribers) {
      this.#tellHead(socket, subscription)
    }
  }

  #tellHead(socket: WebSocket, subscription: string): void {
    socket.send(JSON.stringify({ jsonrpc: '2.0', method: 'chain_newHead', params: { subscription, result: this.#header() } }))
  }

  /** From now on the storage has the number of the block, as on a real chain. */
  tellBlockInStorage(): void {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32LE(this.state.block)
    this.state.storage.set(BLOCK_KEY, `0x${bytes.toString('hex')}`)
  }

  /** The time of the newest block, a Unix time in milliseconds. */
  tellTime(unixMs: number): void {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64LE(BigInt(unixMs))
    this.state.storage.set(TIME_KEY, `0x${bytes.toString('hex')}`)
  }

  #header(): unknown {
    return this.heads.at(this.state.block)
  }

  #onRequest(socket: WebSocket, text: string): void {
    const request: Request = JSON.parse(text)
    const name = nameOf(request)
    if (!this.#isPing(socket, request)) {
      this.calls.set(name, this.count(name) + 1)
    }
    this.roundTrips += this.#answering === 0 ? 1 : 0
    this.#answering++
    this.#events.emit(name)
    const isIn = (names: string[] | undefined): boolean | undefined => names?.some((each) => each === name || each === request.method)
    const fault = isIn(this.faulty) !== false ? this.fault : undefined
    setTimeout(
      () => {
        this.#answering--
        this.#answer(socket, request, fault)
      },
      isIn(this.slow) === false ? ANSWER_AFTER_MS : this.answerAfterMs,
    )
  }

  /** A client asks once for the genesis hash. On a slow machine it asks again, to see whether the connection lives: no call of a test. */
  #isPing(socket: WebSocket, { method, params }: Request): boolean {
    if (method !== 'chain_getBlockHash' || params?.[0] !== 0) {
      return false
    }
    const isAgain = this.#greeted.has(socket)
    this.#greeted.add(socket)
    return isAgain
  }

  #answer(socket: WebSocket, request: Request, fault: Fault | undefined): void {
    const send = (message: object, id = request.id): void => socket.send(JSON.stringify({ jsonrpc: '2.0', id, ...message }))
    switch (fault) {
      case 'silent':
        return
      case 'garbage':
        socket.send('<html>502 Bad Gateway</html>')
        return
      case 'wrong ids':
        send({ result: null }, 'another')
        return
      case 'wrong types':
        send({ result: { nonsense: true } })
        return
      case 'error':
        send({ error: { code: -32_000, message: 'Client error: \u001b[31mthe state is not there' } })
        return
      case 'rate limit':
        send({ error: { code: 429, message: 'Too many requests' } })
        return
      case 'neither result nor error':
        send({})
        return
      case 'too large':
        socket.send(TOO_LARGE)
        return
      case 'drop':
        socket.terminate()
        return
      case 'half-closed':
        if (socket.readyState === socket.OPEN) {
          socket.close()
          socket.pause()
        }
        return
      default:
        send(this.#result(socket, request))
    }
  }

  #result(socket: WebSocket, { method, params }: Request): object {
    const answer = this.#methods.get(method)
    if (answer == null) {
      return { error: { code: -32_601, message: 'Method not found' } }
    }
    try {
      return { result: answer(params, socket) ?? null }
    } catch (error) {
      const { code = -32_602, message = String(error), data } = error instanceof PoolError ? error : {}
      return { error: { code, message, data } }
    }
  }

  #recorded(): Record<string, Method> {
    const { state } = this
    return {
      state_getMetadata: () => state.metadata14,
      state_getRuntimeVersion: () => state.runtimeVersion,
      chain_getBlockHash: ([number]) => (Number(number) <= state.block ? this.pool.hashOf(Number(number)) : null),
      state_getStorage: ([key, hash]) => (key === EVENTS_KEY ? this.#blockAt(hash)?.events : this.#valueOf(String(key), hash)),
      state_getKeysPaged: ([prefix, count, after]) =>
        [...state.storage.keys()]
          .sort()
          .filter((key) => key.startsWith(String(prefix)) && (after == null || key > String(after)))
          .slice(0, Number(count)),
      state_queryStorageAt: ([keys]) => [
        { block: state.genesisHash, changes: (keys as string[]).map((key) => [key, this.#valueOf(key) ?? null]) },
      ],
      state_call: ([name, encoded]) => this.#runtimeCall(String(name), String(encoded)),
      network_proofOfStake: (params) => {
        const [subnet, peerId, minClass] = params
        // the earlier runtime takes no least stake
        if (params.length > (state.runtime === 'v3' ? 4 : 3)) {
          throw new PoolError(-32_602, 'Invalid params', 'expected no more')
        }
        return state.proofOfStake(Number(subnet), Buffer.from(peerId as number[]).toString(), Number(minClass))
      },
    }
  }

  /** As a node does: what the runtime cannot decode ends in a trap. @throws PoolError */
  #runtimeCall(name: string, encoded: string): string {
    const { state } = this
    try {
      return name === 'Metadata_metadata_at_version' ? state.metadataAt(encoded) : state.runtimeCall(name, encoded)
    } catch (error) {
      throw new PoolError(
        4_003,
        `Client error: Execution failed: Execution aborted due to trap: wasm trap: wasm \`${(error as Error).message}\` instruction executed`,
        name,
      )
    }
  }

  /** Of accounts as they were at a block, of all else as it is now. */
  #valueOf(key: string, hash?: unknown): string | undefined {
    return this.pool.accountAt(key, hash == null ? undefined : this.pool.numberOf(String(hash))) ?? this.state.storage.get(key)
  }

  #heads(): Record<string, Method> {
    return {
      chain_getHeader: ([hash]) => (hash == null ? this.#header() : { number: `0x${this.pool.numberOf(String(hash)).toString(16)}` }),
      chain_subscribeNewHeads: (_, socket) => {
        const subscription = `heads-${this.#subscribers.size}-${this.connections}`
        this.#subscribers.set(subscription, socket)
        socket.once('close', () => this.#subscribers.delete(subscription))
        // as a node does: the block that there is comes at once
        setImmediate(() => this.#tellHead(socket, subscription))
        return subscription
      },
      chain_unsubscribeNewHeads: ([subscription]) => this.#subscribers.delete(String(subscription)),
      state_subscribeStorage: ([keys], socket) => this.storageFeed.subscribe(keys as string[], socket),
      state_unsubscribeStorage: ([subscription]) => this.storageFeed.unsubscribe(String(subscription)),
    }
  }

  #blockAt(hash: unknown): StandInBlock | undefined {
    return this.pool.blocks.find((block) => block.hash === hash)
  }

  /** Until the next transaction is in the pool; one that is there already counts. */
  async handedIn(): Promise<void> {
    if (this.pool.waiting.length === 0) {
      await once(this.#events, 'handed in')
    }
  }

  /** The next block, with all that was handed in. */
  nextBlock(): StandInBlock {
    this.newHead()
    const block = this.pool.makeBlock()
    for (const [subscription, { socket, hex }] of this.#watched) {
      if (block.extrinsics.includes(hex)) {
        this.tellStatus({ inBlock: block.hash }, subscription, socket)
        this.#watched.delete(subscription)
      }
    }
    return block
  }

  /** What those who handed something in are told of it. */
  tellStatus(status: unknown, only?: string, to?: WebSocket): void {
    for (const [subscription, { socket }] of only == null ? this.#watched : [[only, { socket: to as WebSocket }] as const]) {
      socket.send(JSON.stringify({ jsonrpc: '2.0', method: 'author_extrinsicUpdate', params: { subscription, result: status } }))
    }
  }

  #writing(): Record<string, Method> {
    const taken = (hex: unknown, then?: () => void): string => {
      const hash = this.pool.take(String(hex))
      this.#events.emit('handed in')
      setImmediate(() => {
        then?.()
        if (this.makesBlocks) {
          this.nextBlock()
        }
      })
      return hash
    }
    return {
      system_accountNextIndex: ([account]) => this.pool.nonceOf(String(account)),
      system_properties: () => ({ ss58Format: 42, tokenDecimals: 18, tokenSymbol: 'TENSOR' }),
      payment_queryInfo: () => ({ weight: { ref_time: 1, proof_size: 0 }, class: 'normal', partialFee: String(this.pool.fee) }),
      chain_getFinalizedHead: () => this.pool.hashOf(Math.max(0, this.state.block - 2)),
      chain_getBlock: ([hash]) => {
        const block = this.#blockAt(hash)
        const { number = 0, extrinsics = [] } = block ?? {}
        return { block: { header: { number: `0x${number.toString(16)}` }, extrinsics }, justifications: null }
      },
      author_pendingExtrinsics: () => this.pool.waiting.map(({ hex }) => hex),
      author_submitExtrinsic: ([hex]) => taken(hex),
      author_submitAndWatchExtrinsic: ([hex], socket) => {
        const subscription = `extrinsic-${this.count('author_submitAndWatchExtrinsic')}-${this.connections}`
        taken(hex, () => this.tellStatus('ready', subscription, socket))
        this.#watched.set(subscription, { socket, hex: String(hex) })
        return subscription
      },
      author_unwatchExtrinsic: ([subscription]) => this.#watched.delete(String(subscription)),
    }
  }
}
