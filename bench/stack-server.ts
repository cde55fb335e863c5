import { setV8Flags } from '../bin/v8-flags.js'
import { bareNode, serveBare } from './support/bare-libp2p.ts'
import { PLAIN, VARIANTS } from './support/variants.ts'

setV8Flags('start')

// node stack-server.ts [VARIANT], forked: it ends with the process that did that
const { [process.argv[2] ?? '']: variant = PLAIN } = VARIANTS

process.on('disconnect', () => process.exit())
process.send?.(await serveBare(await bareNode(['/ip4/127.0.0.1/tcp/0'], variant)))
