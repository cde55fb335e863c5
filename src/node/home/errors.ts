import { SubnetError, type SubnetErrorOptions } from '../../primitives/errors.ts'
import type { Home } from './home.ts'

/** The home has a running node already, or has none; or another process uses a file. */
export class NodeError extends SubnetError {
  override readonly name = 'NodeError'
  readonly code: 'ALREADY_RUNNING' | 'NOT_RUNNING'

  constructor(code: NodeError['code'], message: string, options?: SubnetErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** The error of a call that needs a running node, in a home without one. */
export function notRunning(home: Home): NodeError {
  return new NodeError('NOT_RUNNING', `no node runs in ${home.path}`, {
    hint: '"subnet start" runs one; --home or SUBNET_HOME names another home',
  })
}
