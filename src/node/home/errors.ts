import { SubnetError, type SubnetErrorOptions } from '../../primitives/errors.ts'

/** What keeps a node from running, or a command from finding one that runs. */
export class NodeError extends SubnetError {
  override readonly name = 'NodeError'
  readonly code: 'ALREADY_RUNNING' | 'NOT_RUNNING'

  constructor(code: NodeError['code'], message: string, options?: SubnetErrorOptions) {
    super(message, options)
    this.code = code
  }
}
