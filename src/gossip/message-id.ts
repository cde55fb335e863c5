import { publicKeyToProtobuf } from '@libp2p/crypto/keys'
import type { Message } from '@libp2p/gossipsub'

const HEX = /^(?:[0-9a-f]{2})+$/
const SEQUENCE_BYTES = 8

/**
 * Message IDs for these topics in the format of the template's library: author and sequence number, as hex text in IHAVE and IWANT, as
 * bytes in IDONTWANT. Gossipsub's own IDs are key and sequence number as bytes. With mismatched IDs each side would request messages that
 * it has, and lower the other's score for broken promises. An IHAVE whose IDs are not text ends the whole process of py-libp2p 0.6. Other
 * topics keep gossipsub's IDs.
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
    // an ID in bytes never begins like hex text
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
