export const PEER_STATE_TOPIC = 'peer_state'
