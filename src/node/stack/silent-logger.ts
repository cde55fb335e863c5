import type { ComponentLogger, Logger } from '@libp2p/interface'

const nothing = (): void => undefined
const silent: Logger = Object.assign(nothing, { error: nothing, trace: nothing, enabled: false, newScope: () => silent })

/**
 * Logger for libp2p without a reader. The default logger creates three functions per stream, and checks each time whether stderr is a
 * terminal.
 */
export const silentLogger: ComponentLogger = { forComponent: () => silent }
