import type { LookupEntry } from '@polkadot-api/metadata-builders'

/** The roles of a node's peers. Every node has a main peer. */
const ROLES = ['main', 'bootnode', 'client'] as const

/** Field names from the outermost to the innermost field. */
export type Path = readonly string[]

/** The location of a peer in a node. */
export interface PeerField {
  role: (typeof ROLES)[number]
  peerId: Path
  /** Addresses next to the peer ID, which belong to this peer. */
  addresses: Path[]
}

/** The locations of the fields of a node that are read. */
export interface NodeFields {
  /** The main peer first, then the bootnode peer, then the client peer. */
  peers: PeerField[]
  /** Addresses next to all peers of the node: each ends in the ID of its peer. */
  addresses: Path[]
  nodeClass: Path | undefined
  hotkey: Path | undefined
}

/** A node is a nested structure; the search stops at this depth. */
const MAX_DEPTH = 4

/** Whether values of this type are bytes. */
export function isBytes(type: LookupEntry): boolean {
  return type.type === 'sequence' && type.value.type === 'primitive' && type.value.value === 'u8'
}

/**
 * Finds the fields of a node in its type. Layouts differ in field names and in optional fields, and a peer may be a structure or not.
 * Free-form fields of the node's owner have other names and are not read.
 * @throws Error if no field is known as the ID of the main peer
 */
export function nodeFieldsOf(type: LookupEntry): NodeFields {
  const found: NodeFields = { peers: [], addresses: [], nodeClass: undefined, hotkey: undefined }
  visit(type, [], found)
  if (!found.peers.some(({ role }) => role === 'main')) {
    const names = type.type === 'struct' ? Object.keys(type.value).join(', ') : type.type
    throw new Error(`no field of a node is known to hold its peer ID (its fields: ${names})`)
  }
  found.peers.sort((a, b) => ROLES.indexOf(a.role) - ROLES.indexOf(b.role))
  return found
}

/** The value at a path; undefined if a part of the path is missing. */
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
  // next to a single peer the addresses belong to that peer
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
