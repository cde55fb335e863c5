import type { NetworkInterfaces } from '../dial/dial-policy.ts'
import { defaultGateways, placeOf } from './default-gateway.ts'
import { NatPmp } from './nat-pmp.ts'
import { PortMapper, type PortMapperInit } from './port-mapper.ts'
import { Upnp } from './upnp.ts'

/** Asks the default gateway of this machine: NAT-PMP first, which is one datagram, then UPnP, which is a multicast. */
export function mapperOfRouter({
  networkInterfaces,
  ...init
}: Omit<PortMapperInit, 'place' | 'ways'> & { networkInterfaces: NetworkInterfaces }): PortMapper {
  return new PortMapper({
    ...init,
    place: async () => placeOf(await defaultGateways(), networkInterfaces()),
    ways: [
      async (place, signal) => {
        const router = new NatPmp(place)
        await router.externalAddress(signal)
        return router
      },
      async (place, signal) => Upnp.find(place, signal),
    ],
  })
}
