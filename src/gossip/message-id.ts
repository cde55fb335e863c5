import { publicKeyToProtobuf } from '@libp2p/crypto/keys'
import type { Message } from '@libp2p/gossipsub'

const HEX = /^(?:[0-9a-f]{2})+$/
const SEQUENCE_BYTES = 8

/**
 * IDs of messages as the template's library forms and writes them, for these topics: author and sequence number, in IHAVE and IWANT as hex
 * text, in IDONTWANT as bytes. Gossipsub's own IDs are key and sequence number, as bytes. With them each side would ask for messages it has, and
 * score the other down for a broken promise. The whole process of py-libp2p 0.6 ends at an IHAVE whose IDs are no text. Other topics keep gossipsub's IDs.
 */
export function templateMessageIds(topics: ReadonlySet<string>): {
  msgIdFn(message: Message): Uint8Array
  msgIdToStrFn(id: Uint8Array): string
} {
  return {
    msgIdFn: (message) => {
      const { from, sequenceNumber, key } = signed(message)
      const sequence = Buffer.alloc(SEQUENCE_BYTES)
      sequence.writeBigUInt64BE(sequenceNumber)
      return topics.has(message.topic)
        ? Buffer.from(Buffer.concat([from.toMultihash().bytes, sequence]).toString('hex'))
        : Buffer.concat([publicKeyToProtobuf(from.publicKey ?? key), sequence])
    },
    // no ID in bytes begins like text in hex
    msgIdToStrFn: (id) => {
      const text = Buffer.from(id).toString('latin1')
      return HEX.test(text) ? text : Buffer.from(id).toString('hex')
    },
  }
}

function signed(message: Message): Extract<Message, { type: 'signed' }> {
  if (message.type !== 'signed') {
    throw new Error('a message without an author has no ID')
  }
  return message
}
