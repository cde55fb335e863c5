import { textOf, UsageError } from '../../primitives/errors.ts'
import type { ProtocolHost } from '../../protocol/api/host.ts'
import { loadModule } from './load-module.ts'

/** A module named by `--protocol`. Constructs its protocols with a node. @throws UsageError */
export type ProtocolModule = (node: ProtocolHost) => Promise<void>

const HINT =
  "a protocol is a JS or TS module whose default export is a class that is constructed with the node, or a function that constructs protocols with the node; 'subnet protocol new' makes one"

/** Loads the modules named by `--protocol`. @throws UsageError */
export async function loadProtocols(specs: readonly string[]): Promise<ProtocolModule[]> {
  return Promise.all(specs.map(load))
}

async function load(spec: string): Promise<ProtocolModule> {
  const exported = await loadModule(spec, 'protocol', HINT)
  return async (node) => {
    const before = [...node.protocols].length
    try {
      await (isClass(exported) ? Reflect.construct(exported, [node]) : exported(node))
    } catch (cause) {
      throw new UsageError(`protocol ${spec}: ${textOf(cause)}`, { cause })
    }
    if ([...node.protocols].length === before) {
      throw new UsageError(`protocol ${spec} constructs no protocol with the node`, { hint: HINT })
    }
  }
}

/** A class has to be constructed, not called. */
function isClass(exported: object): boolean {
  return /^class\b/.test(Function.prototype.toString.call(exported))
}
