/** What a dial may do. */
export interface Permit {
  /** True for addresses that the user gave: nothing of them is refused. */
  trusted: boolean
  /** Takes one more dial, for every IP address of a name after the first; false where none is left. */
  more(): boolean
}

/** Of addresses that the user gave. */
export const TRUSTED: Permit = { trusted: true, more: () => true }

const PERMIT = Symbol('permit')

/** Options of a dial, with its permit: libp2p passes on what it does not know. */
export function permitted<T extends object>(options: T, permit: Permit): T {
  return { ...options, [PERMIT]: permit }
}

/** The permit that a dial was made with; none for a dial that libp2p makes of its own accord. */
export function permitOf(options: object): Permit | undefined {
  return (options as { [PERMIT]?: Permit })[PERMIT]
}
