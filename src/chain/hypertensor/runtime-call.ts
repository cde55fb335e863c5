import type { getDynamicBuilder, LookupEntry, MetadataLookup } from '@polkadot-api/metadata-builders'
import { leastSizeOf } from './least-size.ts'

/** The value of an argument: a number or bytes. */
export type CallArgument = number | Uint8Array

export interface RuntimeCallInit {
  api: string
  method: string
  /** The name of the runtime for messages. */
  runtime: string
  types: MetadataLookup
  builder: ReturnType<typeof getDynamicBuilder>
}

/** A call of a chain's runtime. The chain's metadata define the order and the types of its arguments. */
export class RuntimeCall {
  /** The name that `state_call` takes. */
  readonly name: string
  readonly #runtime: string
  readonly #inputs: Array<{ name: string; type: LookupEntry }>
  readonly #codec: ReturnType<ReturnType<typeof getDynamicBuilder>['buildRuntimeCall']>

  /** @throws Error with the call and the runtime, if the runtime has no such call, or its metadata describe no calls */
  constructor({ api, method, runtime, types, builder }: RuntimeCallInit) {
    this.name = `${api}_${method}`
    this.#runtime = runtime
    const found = types.metadata.apis.find(({ name }) => name === api)?.methods.find(({ name }) => name === method)
    if (found == null) {
      throw new Error(`${runtime} has no runtime call ${api}.${method}, which this program needs`)
    }
    this.#inputs = found.inputs.map(({ name, type }) => ({ name, type: types(type) }))
    for (const type of [...this.#inputs.map((input) => input.type), types(found.output)]) {
      leastSizeOf(type)
    }
    this.#codec = builder.buildRuntimeCall(api, method)
  }

  /**
   * Encodes the arguments as hex. An omitted optional argument is encoded as none.
   * @throws Error if the runtime lacks an argument, uses another type for it, or requires an omitted one
   */
  encode(args: Record<string, CallArgument>): string {
    const unknown = Object.keys(args).find((name) => !this.#inputs.some((input) => input.name === name))
    if (unknown != null) {
      throw new Error(`${this.#runtime}: ${this.name} takes no ${unknown}`)
    }
    const values = this.#inputs.map(({ name, type }) => {
      const value = args[name]
      if (value == null ? type.type !== 'option' : !fits(value, type)) {
        throw new Error(
          `${this.#runtime}: ${this.name} takes ${value == null ? `${name} too` : `another kind of ${name}`}: the call is not made`,
        )
      }
      return value
    })
    return hexOf(this.#codec.args.enc(values))
  }

  /** @throws Error unless the bytes are exactly one answer */
  decode(hex: string): unknown {
    const answer: unknown = this.#codec.value.dec(hex)
    if (hexOf(this.#codec.value.enc(answer)) !== hex.toLowerCase()) {
      throw new Error(`no answer of ${this.name}`)
    }
    return answer
  }
}

function fits(value: CallArgument, type: LookupEntry): boolean {
  if (type.type === 'option') {
    return fits(value, type.value)
  }
  if (value instanceof Uint8Array) {
    return type.type === 'sequence' && type.value.type === 'primitive' && type.value.value === 'u8'
  }
  const bits = type.type === 'primitive' ? Number(/^u(8|16|32)$/.exec(type.value)?.[1]) : Number.NaN
  return value >= 0 && value < 2 ** bits
}

function hexOf(bytes: Uint8Array): string {
  return `0x${Buffer.from(bytes).toString('hex')}`
}
