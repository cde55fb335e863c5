import type { SubnetErrorOptions } from '../../primitives/errors.ts'
import { ChainError } from '../registry.ts'

/**
 * Why a call failed: the connection was lost; the endpoint returned an error; its answer is unreadable; it does not know the method; too
 * many calls are pending; the registry was closed.
 */
export type RpcFault = 'connection' | 'refused' | 'unreadable' | 'unknown-method' | 'busy' | 'closed'

/** A failed call to an endpoint. Its message names the endpoint and, if there was one, the method. */
export class RpcError extends ChainError {
  readonly fault: RpcFault
  /** The endpoint's own error code, if it returned one. */
  readonly rpcCode: number | undefined

  constructor(fault: RpcFault, message: string, options: SubnetErrorOptions & { rpcCode?: number | undefined } = {}) {
    super(message, options)
    this.fault = fault
    this.rpcCode = options.rpcCode
  }
}
