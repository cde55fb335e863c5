import type { ComponentLogger, Logger } from '@libp2p/interface'

const nothing = (): void => undefined
const silent: Logger = Object.assign(nothing, { error: nothing, trace: nothing, enabled: false, newScope: () => silent })

/** For libp2p where nobody reads its log: the default logger makes three functions for each stream, and asks each time whether stderr is a terminal. */
export const silentLogger: ComponentLogger = { forComponent: () => silent }
