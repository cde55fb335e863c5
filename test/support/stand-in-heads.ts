import { createHash } from 'node:crypto'
import { Blake2256 } from '@polkadot-api/substrate-bindings'

interface Header {
  number: string
  parentHash: string
  stateRoot: string
  extrinsicsRoot: string
  digest: { logs: string[] }
}

/** The headers of a stand-in chain: each names the one before it by its hash, as on a real chain. */
export class StandInHeads {
  #newest: { block: number; header: Header } | undefined
  #branches = 0

  /** The header of the newest block, which has this number. */
  at(block: number): Header {
    if (this.#newest?.block !== block) {
      const parent = this.#newest?.block === block - 1 ? hashOf(this.#newest.header) : this.#root('parent', block)
      this.#newest = { block, header: this.#header(block, parent) }
    }
    return this.#newest.header
  }

  /** The newest block is of another branch from now on, as the nodes agreed on that. */
  reorganise(): void {
    this.#branches++
    if (this.#newest != null) {
      this.#newest.header = this.#header(this.#newest.block, this.#root('parent', this.#newest.block))
    }
  }

  #header(block: number, parentHash: string): Header {
    return {
      number: `0x${block.toString(16)}`,
      parentHash,
      stateRoot: this.#root('state', block),
      extrinsicsRoot: this.#root('extrinsics', block),
      digest: { logs: ['0x066175726120c3e3331100000000'] },
    }
  }

  #root(what: string, block: number): string {
    return `0x${createHash('sha256').update(`${what} ${block} ${this.#branches}`).digest('hex')}`
  }
}

/** Blake2-256 of the header, as SCALE has it; its number is below 2 ** 30. */
function hashOf({ number, parentHash, stateRoot, extrinsicsRoot, digest }: Header): string {
  const bytes = (hex: string): Buffer => Buffer.from(hex.slice(2), 'hex')
  const compact = (value: number): Buffer => {
    const [size, mode] = value < 64 ? [1, 0] : value < 2 ** 14 ? [2, 1] : [4, 2]
    const buffer = Buffer.alloc(size as number)
    buffer.writeUIntLE(value * 4 + (mode as number), 0, size as number)
    return buffer
  }
  const parts = [bytes(parentHash), compact(Number(number)), bytes(stateRoot), bytes(extrinsicsRoot), compact(digest.logs.length)]
  return `0x${Buffer.from(Blake2256(Buffer.concat([...parts, ...digest.logs.map(bytes)]))).toString('hex')}`
}
