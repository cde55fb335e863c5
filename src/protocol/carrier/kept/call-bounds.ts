import type { PeerShare, ProtocolLimits } from '../../api/limits.ts'

/** What a call may take. */
export interface CallBounds {
  limits: Pick<
    ProtocolLimits,
    'maxFrameBytes' | 'maxStreamedBytes' | 'stallTimeoutMs' | 'minBytesPerSecond' | 'consumerTimeoutMs' | 'allowSlowBodies'
  >
  budget: Pick<PeerShare, 'acquire'>
}
