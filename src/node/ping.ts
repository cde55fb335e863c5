import type { Connection } from '@libp2p/interface'
import type { Ping } from '@libp2p/ping'
import { raceSignal } from 'race-signal'
import { describeError } from '../primitives/errors.ts'
import { ProtocolError } from '../protocol/api/errors.ts'

/** After this time without a pong, in milliseconds, the peer is asked whether it refuses this node. */
const ASK_PING_MS = 500

/**
 * Measures one round trip to a connected peer, in milliseconds.
 * @param refusalOf asks the remote peer why it refuses this node
 * @throws ProtocolError NOT_ADMITTED, REMOTE_FAILED; the signal's reason
 */
export async function pingOver(
  { remotePeer }: Pick<Connection, 'remotePeer'>,
  ping: Ping,
  refusalOf: () => Promise<string | undefined>,
  signal: AbortSignal | undefined,
): Promise<number> {
  const refused = new AbortController()
  const ask = async (): Promise<void> => {
    const reason = await refusalOf()
    if (reason != null) {
      refused.abort(new ProtocolError('NOT_ADMITTED', `${remotePeer.toString()} does not let this node in: ${reason}`))
    }
  }
  // a ping may hang if its stream is reset early
  const asking = setTimeout(() => void ask(), ASK_PING_MS)
  const ended = AbortSignal.any([refused.signal, ...(signal == null ? [] : [signal])])
  try {
    return await raceSignal(ping.ping(remotePeer, { signal: ended }), ended)
  } catch (cause) {
    signal?.throwIfAborted()
    await ask()
    refused.signal.throwIfAborted()
    throw new ProtocolError('REMOTE_FAILED', `${remotePeer.toString()} did not answer a ping: ${describeError(cause)}`, { cause })
  } finally {
    clearTimeout(asking)
  }
}
