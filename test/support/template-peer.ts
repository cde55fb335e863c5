import type { PeerId, SecuredConnection } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import type { Libp2pOptions } from 'libp2p'
import type { OtherStacks } from './other-stacks.ts'

/** What the template's transport is called: plain Noise, and a question to its chain behind it. */
export const TEMPLATE_SECURITY = '/pos-transport/1.0.0'

export interface TemplatePeer {
  stack: Awaited<ReturnType<OtherStacks['start']>>
  address: string
  /** Handshakes that were done, in and out. */
  handshakes(): number
}

/**
 * A peer that is secured as a node of the template is: it offers one security protocol, asks its chain about each peer that has proven its ID,
 * dialled or not, and throws the connection away where the chain says no.
 */
export async function templatePeer(
  stacks: OtherStacks,
  { refuses = () => false, ...options }: Partial<Libp2pOptions> & { refuses?: (peerId: PeerId) => boolean | Promise<boolean> } = {},
): Promise<TemplatePeer> {
  let handshakes = 0
  const checked = async (secured: SecuredConnection): Promise<SecuredConnection> => {
    handshakes++
    if (await refuses(secured.remotePeer)) {
      throw new Error('no proof of stake')
    }
    return secured
  }
  const stack = await stacks.start({
    connectionEncrypters: [
      (components) => {
        const inner = noise()(components)
        return {
          protocol: TEMPLATE_SECURITY,
          secureInbound: async (...args) => checked(await inner.secureInbound(...args)),
          secureOutbound: async (...args) => checked(await inner.secureOutbound(...args)),
        }
      },
    ],
    ...options,
  })
  return { stack, address: stacks.addressOf(stack).toString(), handshakes: () => handshakes }
}
