import type { Libp2p } from '@libp2p/interface'
import { isRelayed, kindOf } from '../../primitives/address-kind.ts'
import type { Publicness } from './relaying.ts'

/** A node counts as public while it tells others a public address, or a name, of its own. */
export function byAnnouncedAddresses(libp2p: Pick<Libp2p, 'getMultiaddrs' | 'addEventListener' | 'removeEventListener'>): Publicness {
  return {
    isPublic: () => libp2p.getMultiaddrs().some((address) => !isRelayed(address) && ['public', 'name'].includes(kindOf(address))),
    onChange: (listener) => {
      libp2p.addEventListener('self:peer:update', listener)
      return () => libp2p.removeEventListener('self:peer:update', listener)
    },
  }
}
