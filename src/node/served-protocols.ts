import type { PeerId, StreamHandler } from '@libp2p/interface'
import { UsageError } from '../primitives/errors.ts'
import { type ProtocolHandler, pipelinedId } from '../protocol/api/host.ts'
import { ADMISSION_PROTOCOL_ID } from '../protocol/builtin/admission.ts'
import { DAG_SYNC_PROTOCOL_ID } from '../protocol/builtin/dag-sync.ts'
import { guardedHandler } from './adapters/guarded-components.ts'
import type { NodeParts } from './node-parts.ts'

/** Maximum kept streams per protocol on one connection: one in use, plus those about to close. */
const MAX_PIPELINES_PER_CONNECTION = 8

/** Holds the protocols of a node and registers them with libp2p. */
export class ServedProtocols {
  readonly #parts: Pick<NodeParts, 'libp2p' | 'limits' | 'serves' | 'log'>
  readonly #admits: (peerId: PeerId) => boolean
  readonly #protocols = new Map<string, ProtocolHandler>()
  /** IDs of the protocols registered with libp2p. */
  readonly #registered = new Set<string>()
  #isStarted = false
  #isStopped = false

  constructor(parts: Pick<NodeParts, 'libp2p' | 'limits' | 'serves' | 'log'>, admits: (peerId: PeerId) => boolean) {
    this.#parts = parts
    this.#admits = admits
  }

  list(): Iterable<ProtocolHandler> {
    return this.#protocols.values()
  }

  /** Adds a protocol. A running node serves it at once. @throws UsageError if the ID is taken */
  add(protocol: ProtocolHandler): void {
    if (this.#protocols.has(protocol.id)) {
      throw new UsageError(`protocol ${protocol.id} is already registered`, {
        hint: 'stop the registered one first: protocol.stop()',
      })
    }
    this.#protocols.set(protocol.id, protocol)
    if (this.#isStarted && !this.#isStopped) {
      this.#register(protocol).catch((error) => {
        this.#parts.log.error(`cannot register protocol ${protocol.id}`, error)
        protocol.onFailed(error)
      })
    }
  }

  async remove(protocol: ProtocolHandler): Promise<void> {
    if (this.#protocols.get(protocol.id) !== protocol) {
      return
    }
    this.#protocols.delete(protocol.id)
    if (this.#registered.delete(protocol.id)) {
      await this.#parts.libp2p.unhandle([protocol.id, pipelinedId(protocol.id)])
    }
  }

  /** Serves all protocols added so far. Later calls of `add` take effect at once. */
  async start(): Promise<void> {
    this.#isStarted = true
    await Promise.all([...this.#protocols.values()].map(async (protocol) => this.#register(protocol)))
  }

  /** Ends the calls of all protocols. */
  stop(reason: Error): void {
    this.#isStopped = true
    for (const protocol of this.#protocols.values()) {
      protocol.onStopped(reason)
    }
  }

  async #register(protocol: ProtocolHandler): Promise<void> {
    const { libp2p, limits, serves } = this.#parts
    // a template node waits for a DAG sync answer of every connected peer
    if (!serves && protocol.id !== DAG_SYNC_PROTOCOL_ID) {
      protocol.onFailed(new UsageError('this node listens nowhere, so it serves no protocol'))
      return
    }
    this.#registered.add(protocol.id)
    const handle = async (id: string, answer: StreamHandler, maxStreams: number): Promise<void> => {
      const handler = id === ADMISSION_PROTOCOL_ID ? answer : guardedHandler(answer, this.#admits)
      await libp2p.handle(id, handler, { maxInboundStreams: maxStreams, maxOutboundStreams: maxStreams, runOnLimitedConnection: true })
    }
    const { onPipeline } = protocol
    await Promise.all([
      handle(protocol.id, (stream, connection) => protocol.onStream(stream, connection), limits.maxStreamsPerConnection),
      onPipeline == null ? undefined : handle(pipelinedId(protocol.id), onPipeline, MAX_PIPELINES_PER_CONNECTION),
    ])
    protocol.onStarted()
  }
}
