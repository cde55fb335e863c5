import type { PeerId, StreamHandler } from '@libp2p/interface'
import { UsageError } from '../primitives/errors.ts'
import { type ProtocolHandler, pipelinedId } from '../protocol/api/host.ts'
import { ADMISSION_PROTOCOL_ID } from '../protocol/builtin/admission.ts'
import { DAG_SYNC_PROTOCOL_ID } from '../protocol/builtin/dag-sync.ts'
import { guardedHandler } from './adapters/guarded-components.ts'
import type { NodeParts } from './node-parts.ts'

/** Kept streams of one protocol that a peer may have open on a connection: one, and those that are about to close. */
const MAX_PIPELINES_PER_CONNECTION = 8

/** The protocols of a node: which there are, and which of them libp2p serves. */
export class ServedProtocols {
  readonly #parts: Pick<NodeParts, 'libp2p' | 'limits' | 'serves' | 'log'>
  readonly #admits: (peerId: PeerId) => boolean
  readonly #protocols = new Map<string, ProtocolHandler>()
  /** Their ids, once libp2p has them. */
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

  /** Serves it at once where the node runs. @throws UsageError where there is one of this id */
  add(protocol: ProtocolHandler): void {
    if (this.#protocols.has(protocol.id)) {
      throw new UsageError(`there is a protocol ${protocol.id} already`, {
        hint: 'the one that is there can be stopped first: protocol.stop()',
      })
    }
    this.#protocols.set(protocol.id, protocol)
    if (this.#isStarted && !this.#isStopped) {
      this.#register(protocol).catch((error) => {
        this.#parts.log.error(`protocol ${protocol.id} not registered`, error)
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

  /** Serves those that are there; from now on `add` serves what it is given. */
  async start(): Promise<void> {
    this.#isStarted = true
    await Promise.all([...this.#protocols.values()].map(async (protocol) => this.#register(protocol)))
  }

  /** Ends the calls of all of them. */
  stop(reason: Error): void {
    this.#isStopped = true
    for (const protocol of this.#protocols.values()) {
      protocol.onStopped(reason)
    }
  }

  async #register(protocol: ProtocolHandler): Promise<void> {
    const { libp2p, limits, serves } = this.#parts
    // a template node waits for the answers of all that are connected to it
    if (!serves && protocol.id !== DAG_SYNC_PROTOCOL_ID) {
      protocol.onFailed(new UsageError('this node only asks: it listens nowhere, so it serves no protocol'))
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
