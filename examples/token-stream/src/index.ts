import { setTimeout as delay } from 'node:timers/promises'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { type Destination, ProtobufStreamingProtocol, type ProtocolHost, type RequestContext, type StreamCallOptions } from 'subnet-cli'
import {
  FinishReason,
  type TokenStreamRequest,
  TokenStreamRequestSchema,
  type TokenStreamResponse,
  TokenStreamResponseSchema,
} from './gen/token_stream_pb.ts'
import { generate } from './model.ts'

export { FinishReason }

/** A text that was made for a peer, whole or in part. */
export interface Usage {
  peerId: string
  tokens: number
  /** Its caller left, or lost its connection, or this node stopped. */
  cancelled: boolean
}

export interface TokenStreamOptions {
  /** How long the model takes for each token, in milliseconds. @default 20 */
  delayMs?: number
  /** Told at the end of each text. @default a line in the node's log, shown at `--log-level info` */
  onUsage?: (usage: Usage) => void
}

const DEFAULT_TOKENS = 64
const MAX_TOKENS = 4_096

/** Text from a language model, a token at a time, made here for other peers or by another peer for this one. */
export default class TokenStream extends ProtobufStreamingProtocol<typeof TokenStreamRequestSchema, typeof TokenStreamResponseSchema> {
  readonly #delayMs: number
  readonly #onUsage: (usage: Usage) => void

  constructor(node: ProtocolHost, options: TokenStreamOptions = {}) {
    super(node, {
      id: '/example/token-stream/1.0.0',
      request: TokenStreamRequestSchema,
      response: TokenStreamResponseSchema,
      limits: { maxFrameBytes: 16 * 1024 },
    })
    this.#delayMs = options.delayMs ?? 20
    this.#onUsage =
      options.onUsage ??
      (({ peerId, tokens, cancelled }) => node.log.info(`${tokens} tokens for ${peerId}${cancelled ? ', cancelled' : ''}`))
  }

  /** The tokens as they come. Leaving the loop over them tells the peer, which makes no more. @throws what `callStream` throws, in the loop */
  complete(
    to: Destination,
    request: { prompt: string; maxTokens?: number; seed?: number },
    options?: StreamCallOptions,
  ): AsyncGenerator<TokenStreamResponse, void> {
    return this.callStream(to, request, options)
  }

  protected override async *handleRequest(
    { peerId, signal }: RequestContext,
    { prompt, maxTokens, seed }: TokenStreamRequest,
  ): AsyncGenerator<MessageInitShape<typeof TokenStreamResponseSchema>> {
    const limit = Math.min(maxTokens || DEFAULT_TOKENS, MAX_TOKENS)
    let tokens = 0
    try {
      for (const token of generate(prompt, seed)) {
        // whoever waits passes the signal on: this throws as soon as the caller leaves
        await delay(this.#delayMs, undefined, { signal })
        tokens++
        yield { token }
        if (tokens === limit) {
          yield { finishReason: FinishReason.LENGTH }
          return
        }
      }
      yield { finishReason: FinishReason.STOP }
    } finally {
      this.#onUsage({ peerId: peerId.toString(), tokens, cancelled: signal.aborted })
    }
  }
}
