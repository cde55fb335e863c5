import { AccountKey } from '../../src/chain/hypertensor/writing/account-key.ts'
import { type HypertensorState, SUBNET } from './hypertensor-state.ts'

/** A public development key: the first of those that every development chain of this kind has. */
export const OWNER_KEY = '5fb92d6e98884f76de468fa3f6278f8807c48bebc13595d45af5bdc4da702133'
export const OWNER = AccountKey.parse(OWNER_KEY)

/** Gives a recorded node to this account: it becomes the owner of the node's hotkey. */
export function own(state: HypertensorState, nodeId: number, account = OWNER.account): void {
  const { hotkey } = state.get('SubnetNodesData', SUBNET, nodeId) as { hotkey: string }
  state.set('HotkeyOwner', [hotkey], account)
}

/** The second of those keys. */
export const HOTKEY = AccountKey.parse('8075991ce870b93a8870eca0c0f91913d12f47948ca0fd25b49c6fa7cdbeee8b')

/** Lets a recorded node have this hotkey. */
export function setHotkey(state: HypertensorState, nodeId: number, hotkey: string): void {
  const node = state.get('SubnetNodesData', SUBNET, nodeId) as Record<string, unknown>
  state.set('SubnetNodesData', [SUBNET, nodeId], { ...node, hotkey })
}
