import type { LookupEntry } from '@polkadot-api/metadata-builders'

/** The roles of a node's peers. Every node has a main peer. */
const ROLES = ['main', 'bootnode', 'client'] as const

/** The names that lead to a field, from the outside in. */
export type Path = readonly string[]

/** Where a node has one of its peers. */
export interface PeerField {
  role: (typeof ROLES)[number]
  peerId: Path
  /** Addresses that stand beside the peer ID: they are this peer's. */
  addresses: Path[]
}

/** The fields of a node that are read. */
export interface NodeFields {
  /** The main peer first, then the bootnode peer, then the client peer. */
  peers: PeerField[]
  /** Addresses beside all peers of the node: each says by its end whose it is. */
  addresses: Path[]
  nodeClass: Path | undefined
  hotkey: Path | undefined
}

/** A node is a structure of structures: this deep it is looked into. */
const MAX_DEPTH = 4

/** Whether a value of this type is bytes. */
export function isBytes(type: LookupEntry): boolean {
  return type.type === 'sequence' && type.value.type === 'primitive' && type.value.value === 'u8'
}

/**
 * Finds the fields of a node in its type. Layouts of the chain differ in the names of fields and in what is optional; a peer may be a structure
 * or not. The fields that a node's owner fills as he likes have other names, and are not read.
 * @throws Error where no field is known as the ID of the main peer
 */
export function nodeFieldsOf(type: LookupEntry): NodeFields {
  const found: NodeFields = { peers: [], addresses: [], nodeClass: undefined, hotkey: undefined }
  visit(type, [], found)
  if (!found.peers.some(({ role }) => role === 'main')) {
    const names = type.type === 'struct' ? Object.keys(type.value).join(', ') : type.type
    throw new Error(`none of a node's fields is known as the ID of its peer (there are: ${names})`)
  }
  found.peers.sort((a, b) => ROLES.indexOf(a.role) - ROLES.indexOf(b.role))
  return found
}

/** The field that a path leads to; undefined where something on the way is none. */
export function fieldAt(value: unknown, path: Path): unknown {
  return path.reduce((inner: unknown, name) => (inner as Record<string, unknown> | null | undefined)?.[name], value)
}

function visit(type: LookupEntry, path: Path, found: NodeFields): void {
  if (type.type !== 'struct' || path.length >= MAX_DEPTH) {
    return
  }
  const fields = Object.entries(type.value).map(([name, field]) => {
    const inner = field.type === 'option' ? field.value : field
    return { path: [...path, name], inner, kind: kindOf(name, inner) }
  })
  const pathsOf = (kind: FieldKind): Path[] => fields.filter((field) => field.kind === kind).map((field) => field.path)
  const peers = pathsOf('peer ID').map((peerId): PeerField => ({ role: roleOf(peerId), peerId, addresses: [] }))
  const [only, ...others] = peers
  // beside a single peer they are that one's
  const addresses = only != null && others.length === 0 && path.length > 0 ? only.addresses : found.addresses
  addresses.push(...pathsOf('address'))
  found.peers.push(...peers)
  found.nodeClass ??= pathsOf('class')[0]
  found.hotkey ??= pathsOf('hotkey')[0]
  for (const field of fields) {
    visit(field.inner, field.path, found)
  }
}

type FieldKind = 'peer ID' | 'address' | 'class' | 'hotkey'

function kindOf(name: string, type: LookupEntry): FieldKind | undefined {
  const plain = name.replaceAll('_', '').toLowerCase()
  if (isBytes(type)) {
    return plain.endsWith('peerid') ? 'peer ID' : /addr|bootnode$/.test(plain) ? 'address' : undefined
  }
  if (type.type === 'enum') {
    return plain.endsWith('class') ? 'class' : undefined
  }
  return type.type === 'AccountId20' && plain === 'hotkey' ? 'hotkey' : undefined
}

function roleOf(path: Path): (typeof ROLES)[number] {
  const names = path.join(' ').toLowerCase()
  return names.includes('boot') ? 'bootnode' : names.includes('client') ? 'client' : 'main'
}
