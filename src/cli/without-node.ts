import type { Home } from '../node/home/home.ts'
import { holderOf } from '../session/control/control-socket.ts'
import type { ShellContext } from './shell-context.ts'

/** True if a person reads stderr, and the command ran on a temporary node because none runs in the home. */
export async function isWithoutNode(home: Home, shell: ShellContext | undefined): Promise<boolean> {
  return shell == null && process.stderr.isTTY === true && (await holderOf(home)) == null
}
