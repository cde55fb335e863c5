import type { NetworkInterfaces } from '../dial/dial-policy.ts'
import { defaultGateways, placeOf } from './default-gateway.ts'
import { NatPmp } from './nat-pmp.ts'
import { PortMapper, type PortMapperInit } from './port-mapper.ts'
import { Upnp } from './upnp.ts'

/** Creates a port mapper for the default gateway. Tries NAT-PMP first, with one datagram, then UPnP, with a multicast. */
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
