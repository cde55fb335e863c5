import type { PortMapping } from '../node/port-mapping/port-mapping.ts'
import type { StatusAnswer } from './answers.ts'

/** The router and its ports, for `status`. */
export function portMappingAnswer({ status, detail, router, protocol, mappings }: PortMapping): StatusAnswer['portMapping'] {
  return {
    status,
    detail,
    router: router ?? null,
    protocol: protocol ?? null,
    mappings: mappings.map(({ multiaddr, internal, untilMs }) => ({
      multiaddr: multiaddr.toString(),
      internal: internal.toString(),
      untilMs: untilMs ?? null,
    })),
  }
}

/** The answer for a node of an earlier version. */
export const NO_PORT_MAPPING = {
  status: 'off',
  detail: 'the node runs an earlier version without port mapping',
  router: null,
  protocol: null,
  mappings: [],
} satisfies StatusAnswer['portMapping']
