import type { MessageInitShape } from '@bufbuild/protobuf'
import { type CallOptions, type Destination, ProtobufProtocol, type ProtocolHost, type RequestContext } from 'subnet-cli'
import { type KeyValueRequest, KeyValueRequestSchema, type KeyValueResponse, KeyValueResponseSchema, Reason } from './gen/key_value_pb.ts'
import { audit, writersOnly } from './interceptors.ts'
import { type Entry, type Page, Refusal, Store } from './store.ts'

export { type Entry, type Page, Reason, Refusal }

type Operation = NonNullable<MessageInitShape<typeof KeyValueRequestSchema>['operation']>
type Answer = MessageInitShape<typeof KeyValueResponseSchema>

export interface KeyValueOptions {
  /** How many keys are kept. @default 1,000 */
  maxEntries?: number
  /** Who may put and delete. @default everybody; a peer ID costs nothing, so then one peer may fill the store under many IDs */
  mayWrite?: (peerId: RequestContext['peerId']) => boolean
  /** Gets a line for each request. @default the node's log, shown at `--log-level info` */
  audit?: (line: string) => void
}

/** Keeps keys and values for other peers, and asks other peers for theirs. A key belongs to the peer that put it first. */
export default class KeyValue extends ProtobufProtocol<typeof KeyValueRequestSchema, typeof KeyValueResponseSchema> {
  readonly #store: Store

  constructor(node: ProtocolHost, options: KeyValueOptions = {}) {
    super(node, {
      id: '/example/key-value/1.0.0',
      request: KeyValueRequestSchema,
      response: KeyValueResponseSchema,
      // the largest value, and room for the rest
      limits: { maxFrameBytes: 64 * 1024 },
      interceptors: [audit(options.audit ?? ((line) => node.log.info(line))), writersOnly(options.mayWrite ?? (() => true))],
    })
    this.#store = new Store(options.maxEntries ?? 1_000)
  }

  /** @throws Refusal; what `callRemote` throws */
  async put(to: Destination, key: string, value: string, options?: CallOptions): Promise<void> {
    await this.#ask(to, { case: 'put', value: { key, value } }, options)
  }

  /** Undefined where there is no such key. @throws as `put` */
  async get(to: Destination, key: string, options?: CallOptions): Promise<Entry | undefined> {
    try {
      return await this.#ask(to, { case: 'get', value: { key } }, options)
    } catch (error) {
      if (error instanceof Refusal && error.reason === Reason.NOT_FOUND) {
        return undefined
      }
      throw error
    }
  }

  /** @throws as `put` */
  async delete(to: Destination, key: string, options?: CallOptions): Promise<void> {
    await this.#ask(to, { case: 'delete', value: { key } }, options)
  }

  /** The first keys with a prefix, sorted; `after` the last of a page comes the next. @throws as `put` */
  async list(to: Destination, query: { prefix?: string; after?: string } = {}, options?: CallOptions): Promise<Page> {
    return this.#ask(to, { case: 'list', value: query }, options)
  }

  protected override async handleRequest({ peerId }: RequestContext, { operation }: KeyValueRequest): Promise<Answer> {
    const peer = peerId.toString()
    switch (operation.case) {
      case 'put':
        this.#store.put(operation.value.key, { value: operation.value.value, owner: peer })
        return {}
      case 'get':
        return this.#store.get(operation.value.key)
      case 'delete':
        this.#store.delete(operation.value.key, peer)
        return {}
      case 'list':
        return this.#store.list(operation.value.prefix, operation.value.after)
      default:
        throw new Refusal(Reason.INVALID, 'the request has no operation that is known here')
    }
  }

  /** What the store or an interceptor refuses, the caller is told; any other error resets the stream. */
  protected override answerFailure(_context: RequestContext, error: unknown): Answer | undefined {
    return error instanceof Refusal ? { refused: error.reason, message: error.message } : undefined
  }

  async #ask(to: Destination, operation: Operation, options?: CallOptions): Promise<KeyValueResponse> {
    const answer = await this.callRemote(to, { operation }, options)
    if (answer.refused !== Reason.UNSPECIFIED) {
      throw new Refusal(answer.refused, answer.message)
    }
    return answer
  }
}
