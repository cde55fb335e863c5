import { SubnetError, type SubnetErrorOptions } from '../../primitives/errors.ts'

/** The home has a running node already, or has none; or another process uses a file. */
export class NodeError extends SubnetError {
  override readonly name = 'NodeError'
  readonly code: 'ALREADY_RUNNING' | 'NOT_RUNNING'

  constructor(code: NodeError['code'], message: string, options?: SubnetErrorOptions) {
    super(message, options)
    this.code = code
  }
}
