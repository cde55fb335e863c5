import type { SubnetErrorOptions } from '../../primitives/errors.ts'
import { ChainError } from '../registry.ts'

/**
 * Why a call to an endpoint gave nothing: the connection is no more; the endpoint answered with an error; with what cannot be
 * read; does not know the method; there are too many calls; the registry was closed.
 */
export type RpcFault = 'connection' | 'refused' | 'unreadable' | 'unknown-method' | 'busy' | 'closed'

/** A call that an endpoint did not answer. Its message names the endpoint and, where there was one, the method. */
export class RpcError extends ChainError {
  readonly fault: RpcFault
  /** The endpoint's own code of its error, where it answered with one. */
  readonly rpcCode: number | undefined

  constructor(fault: RpcFault, message: string, options: SubnetErrorOptions & { rpcCode?: number | undefined } = {}) {
    super(message, options)
    this.fault = fault
    this.rpcCode = options.rpcCode
  }
}
