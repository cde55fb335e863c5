/** Whether a node is a relay for others: always, never, or while it is public. */
export const RELAY_SERVICE = ['auto', 'on', 'off'] as const
export type RelayService = (typeof RELAY_SERVICE)[number]
