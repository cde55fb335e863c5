import { writeFile } from 'node:fs/promises'

/** The peer ID of the public development key that `seedFile` writes. */
export const PEER_ID = '12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb'
export const OTHER_PEER_ID = '12D3KooWLGmub3LXuKQixBD5XwNW4PtSfnrysYzqs1oj19HxMUCF'

const SEED = 'f01f7355ac645b162d11dfd4987d69825b4f91e8449b35a81858cff24aff0d9a'
const OTHER_SEED = '5ba2d01545181133ca1f82495618068df6165808a19820c3a7485067f3f9a946'

/** Writes a development key as py-libp2p does: 36 bytes, the seed behind a protobuf header. */
export async function seedFile(path: string, peerId = PEER_ID): Promise<void> {
  await writeFile(path, Buffer.from(`08011220${peerId === PEER_ID ? SEED : OTHER_SEED}`, 'hex'), { mode: 0o600 })
}
