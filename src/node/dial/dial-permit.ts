/** The limits of one dial. */
export interface Permit {
  /** True for an address that the user gave: the dial policy refuses none of these. */
  trusted: boolean
  /** Takes one more dial, for every IP address of a name after the first; false where none is left. */
  more(): boolean
  /** Told when a socket is connected, and how long that took, in milliseconds: what is at the address answers. */
  onConnected?(ms: number): void
}

/** The permit for an address that the user gave. */
export const TRUSTED: Permit = { trusted: true, more: () => true }

const PERMIT = Symbol('permit')

/** Adds a permit to the options of a dial. libp2p hands unknown options on to the transport. */
export function permitted<T extends object>(options: T, permit: Permit): T {
  return { ...options, [PERMIT]: permit }
}

/** The permit of a dial; undefined for one that libp2p started by itself. */
export function permitOf(options: object): Permit | undefined {
  return (options as { [PERMIT]?: Permit })[PERMIT]
}
