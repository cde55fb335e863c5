// The part of a session that needs an in-process node, loaded on demand: libp2p takes longer to load than most commands take to run.
export { composeNode } from '../node/compose.ts'
export { NodeSession } from './node-session.ts'
