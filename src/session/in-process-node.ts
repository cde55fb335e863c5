// What a session needs for a node of its own: libp2p takes longer to load than most of what is done with it.
export { composeNode } from '../node/compose.ts'
export { NodeSession } from './node-session.ts'
