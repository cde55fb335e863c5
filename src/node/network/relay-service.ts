/** When a node serves as a relay: `on` always, `off` never, `auto` while it is public. */
export const RELAY_SERVICE = ['auto', 'on', 'off'] as const
export type RelayService = (typeof RELAY_SERVICE)[number]
