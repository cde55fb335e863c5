import type { PeerShare, ProtocolLimits } from '../../api/limits.ts'

/** Limits of a call. */
export interface CallBounds {
  limits: Pick<
    ProtocolLimits,
    'maxFrameBytes' | 'maxStreamedBytes' | 'stallTimeoutMs' | 'minBytesPerSecond' | 'consumerTimeoutMs' | 'allowSlowBodies'
  >
  budget: Pick<PeerShare, 'acquire'>
}
