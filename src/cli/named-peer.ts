import { parsePeerId } from '../primitives/address.ts'
import { UsageError } from '../primitives/errors.ts'
import { hasEllipsis, lengthOfShortForm, readShortForm, SHORT_FORM_RULE } from '../primitives/short-form.ts'
import type { FoundPeer } from '../session/answers.ts'
import type { Session, SessionOptions } from '../session/session.ts'

export interface NamedPeerInit {
  session: () => Promise<Session>
  options: () => SessionOptions
  /** True if a person typed the name at a terminal, and so sees which peer it means. */
  typed: boolean
  /** Prints a line on stderr. */
  tell(text: string): void
}

/** Minimum length of a short form off a terminal. Each character has 58 possible values; the first eight are always the same. */
const MIN_OFF_TERMINAL = 16
/** Maximum number of candidates in an error. */
const MAX_NAMED = 8
const WHOLE = 'give the whole peer ID, or a multiaddr that ends in /p2p/<peer ID>'

/**
 * Expands a short form of a peer ID to the whole ID. Only this function expands short forms. Any other text is returned unchanged for the
 * session to read, and so is a short form that matches no peer but may be an alias.
 * @throws UsageError for a short form that matches no peer or several peers, or is too short off a terminal
 */
export async function namedPeer(text: string, init: NamedPeerInit): Promise<string> {
  if (text.startsWith('/') || isWhole(text)) {
    return text
  }
  if (readShortForm(text).length === 0) {
    if (hasEllipsis(text)) {
      throw new UsageError(`not a peer: ${JSON.stringify(text)}`, { hint: `${SHORT_FORM_RULE}; ${WHOLE}` })
    }
    return text
  }
  const found = await (await init.session()).aliases.find(text, init.options())
  const [peer, ...others] = found
  if (peer == null) {
    if (!hasEllipsis(text) && !LIKE_PEER_ID.test(text)) {
      return text
    }
    throw new UsageError(`not a peer: no alias, connected peer or peer of the address book has the short form ${JSON.stringify(text)}`, {
      hint: WHOLE,
    })
  }
  if (peer.alias === text) {
    return peer.peerId
  }
  if (others.length > 0) {
    throw ambiguous(text, found)
  }
  if (!init.typed && lengthOfShortForm(text) < MIN_OFF_TERMINAL) {
    throw new UsageError(`not a peer: ${JSON.stringify(text)} is too short for a command without a terminal`, {
      hint: `without a terminal, a short form needs at least ${MIN_OFF_TERMINAL} characters; in scripts, ${WHOLE}`,
    })
  }
  if (!init.typed) {
    init.tell(`${text} is ${peer.peerId}`)
  }
  return peer.peerId
}

/** The ID of a peer that is named by ID, short form or alias; any other text unchanged. @throws UsageError as `namedPeer` */
export async function namedPeerId(text: string, init: NamedPeerInit): Promise<string> {
  if (isWhole(text) || !/^[\w.…-]+$/.test(text)) {
    return text
  }
  const [alias] = await (await init.session()).aliases.find(text, init.options())
  return alias?.alias === text ? alias.peerId : namedPeer(text, init)
}

/** Maximum wait for the alias in an error message, in milliseconds. */
const REWORD_WITHIN_MS = 1_000

/** Returns a function that puts an alias before its peer ID in a message: `bob (12D3Koo…)`. Undefined for other names. */
export async function aliasInMessages(name: string, session: Session): Promise<((message: string) => string) | undefined> {
  if (name.startsWith('/') || isWhole(name)) {
    return undefined
  }
  const list = await session.aliases.list({ timeoutMs: REWORD_WITHIN_MS }).catch(() => [])
  const peerId = list.find(({ alias }) => alias === name)?.peerId
  // except in a multiaddr
  return peerId == null ? undefined : (message) => message.replace(new RegExp(`(?<!/p2p/)${peerId}`), `${name} (${peerId})`)
}

/** A text that begins like this is meant as a peer ID, not as an alias. */
const LIKE_PEER_ID = /^(12D3Koo|16Uiu2|Qm)/

function isWhole(text: string): boolean {
  try {
    parsePeerId(text)
    return true
  } catch {
    return false
  }
}

function ambiguous(text: string, found: FoundPeer[]): UsageError {
  const named = found.slice(0, MAX_NAMED).map(({ peerId, alias, connected }) => {
    const about = [...(alias == null ? [] : [alias]), ...(connected ? ['connected'] : [])]
    return about.length === 0 ? peerId : `${peerId} (${about.join(', ')})`
  })
  const more = found.length > MAX_NAMED ? ', and more' : ''
  return new UsageError(`ambiguous peer: ${JSON.stringify(text)} is short for ${found.length} peers`, {
    hint: `give one of ${named.join(', ')}${more}`,
  })
}
