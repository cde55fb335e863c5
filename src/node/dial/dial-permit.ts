/** The limits of one dial. */
export interface Permit {
  /** True for an address from the user. The dial policy does not apply to it. */
  trusted: boolean
  /** True for an address that the user named. The dialler reports the connection, so that its address is kept. @default false */
  given?: boolean
  /** Takes one more dial, for each IP address of a name after the first. False if none is left. */
  more(): boolean
  /** Called when the socket is connected, with the duration in milliseconds. The address then shows signs of life. */
  onConnected?(ms: number): void
}

/** The permit for an address from the user. */
export const TRUSTED: Permit = { trusted: true, given: true, more: () => true }

const PERMIT = Symbol('permit')

/** Adds a permit to the options of a dial. libp2p passes unknown options on to the transport. */
export function permitted<T extends object>(options: T, permit: Permit): T {
  return { ...options, [PERMIT]: permit }
}

/** The permit of a dial. Undefined if libp2p started the dial itself. */
export function permitOf(options: object): Permit | undefined {
  return (options as { [PERMIT]?: Permit })[PERMIT]
}
