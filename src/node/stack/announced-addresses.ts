import type { Libp2p } from '@libp2p/interface'
import { isRelayed, kindOf } from '../../primitives/address-kind.ts'
import type { Reachability } from '../reachability/reachability.ts'
import type { Publicness } from './relaying.ts'

type OwnAddressesSource = Pick<Libp2p, 'getMultiaddrs' | 'addEventListener' | 'removeEventListener'>

/** A node counts as public while it tells others a public address, or a name, of its own, and peers outside have not failed to dial it. */
export function byAnnouncedAddresses(libp2p: OwnAddressesSource, reachability?: Pick<Reachability, 'verdict' | 'onVerdict'>): Publicness {
  return {
    isPublic: () =>
      reachability?.verdict !== 'private' &&
      libp2p.getMultiaddrs().some((address) => !isRelayed(address) && ['public', 'name'].includes(kindOf(address))),
    onChange: (listener) => {
      libp2p.addEventListener('self:peer:update', listener)
      const unwatch = reachability?.onVerdict(listener)
      return () => {
        libp2p.removeEventListener('self:peer:update', listener)
        unwatch?.()
      }
    },
  }
}
