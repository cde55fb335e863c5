import { createHash } from 'node:crypto'
import { realpathSync } from 'node:fs'
import { chmod, lstat, rm } from 'node:fs/promises'
import { connect, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { NodeError } from '../../node/home/errors.ts'
import { type Home, reasonOf } from '../../node/home/home.ts'
import { UsageError } from '../../primitives/errors.ts'
import { makeFolder } from '../../primitives/folder.ts'

/** The path of a unix socket is cut off without a word beyond 104 (macOS) or 108 bytes (Linux). */
const MAX_PATH_BYTES = 100
/** How long a node that holds its home's lock may take to listen, at most: it may be starting, or putting its socket back. */
const PATIENCE_MS = 5_000
const RETRY_MS = 50

/** What a socket that leads to no node says of it. */
const UNREACHABLE: Record<string, string> = {
  ENOENT: 'is not there',
  ENOTDIR: 'is not there',
  // one that a killed node left behind, or that is another's
  ECONNREFUSED: 'refuses connections',
  EAGAIN: 'takes no more connections',
}

export interface ConnectOptions {
  signal: AbortSignal
  /** How long to wait for a node that runs and cannot be reached, in milliseconds; at most 5 s. */
  timeoutMs?: number | undefined
}

/** Where a home's control socket is: in the home, or where that would be too long, in a private directory of the user. */
export function socketPath({ path }: Home): string {
  const inHome = join(path, 'node.sock')
  if (Buffer.byteLength(inHome) <= MAX_PATH_BYTES) {
    return inHome
  }
  const name = createHash('sha256').update(realOf(path)).digest('hex').slice(0, 24)
  return join(runtimeDirectory(), `${name}.sock`)
}

/**
 * Listens on the home's control socket (0600). Only whoever holds the home's lock may: what is there already is left over.
 * Gives what tells whether the socket is still there.
 */
export async function listenForCommands(home: Home, server: Server): Promise<() => Promise<boolean>> {
  const path = socketPath(home)
  try {
    if (dirname(path) !== home.path) {
      await makeFolder(dirname(path), 0o700)
      await checkPrivate(dirname(path))
    }
    await rm(path, { force: true })
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(path, () => {
        server.off('error', reject)
        resolve()
      })
    })
    await chmod(path, 0o600)
    const { dev, ino } = await lstat(path)
    return async () => {
      const found = await lstat(path).catch(() => undefined)
      return found?.dev === dev && found.ino === ino
    }
  } catch (cause) {
    throw new UsageError(`the control socket ${path} cannot be opened: ${reasonOf(cause)}`, { cause })
  }
}

/**
 * A connection to the node that runs in the home; undefined where none does.
 * @throws NodeError ALREADY_RUNNING where one runs and cannot be reached, UsageError, the signal's reason
 */
export async function connectToNode(home: Home, { signal, timeoutMs = PATIENCE_MS }: ConnectOptions): Promise<Socket | undefined> {
  const giveUpAtMs = performance.now() + Math.min(timeoutMs, PATIENCE_MS)
  for (;;) {
    const found = await tryConnect(home, signal)
    if (typeof found !== 'string') {
      return found
    }
    const holder = await holderOf(home)
    if (holder == null) {
      return undefined
    }
    if (performance.now() > giveUpAtMs) {
      throw new NodeError(
        'ALREADY_RUNNING',
        `a node runs in ${home.path} (${holder}), but its control socket ${socketPath(home)} ${found}`,
        {
          hint: 'it may be starting, stopping, or busy: try again; else end its process. The socket is found with the same XDG_RUNTIME_DIR and TMPDIR',
        },
      )
    }
    await delay(RETRY_MS, undefined, { signal }).catch(() => signal.throwIfAborted())
  }
}

/** Who holds the home's lock, in words; undefined where nobody does. */
export async function holderOf(home: Home): Promise<string | undefined> {
  if (!(await isThere(home.lockFile))) {
    return undefined
  }
  // most commands find a node, or a home without a lock, and need no SQLite for it
  const { HomeLock } = await import('../../node/home/lock.ts')
  return HomeLock.holderOf(home)
}

/** A connection, or what is wrong with the socket. @throws UsageError, the signal's reason */
async function tryConnect(home: Home, signal: AbortSignal): Promise<Socket | string> {
  signal.throwIfAborted()
  const path = socketPath(home)
  if (dirname(path) !== home.path && !(await isPrivate(dirname(path)))) {
    return (await isThere(path)) ? 'is in a directory that is not of this user alone' : 'is not there'
  }
  const socket = connect({ path, signal })
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject).once('connect', () => {
        socket.off('error', reject)
        resolve()
      })
    })
    return socket
  } catch (cause) {
    signal.throwIfAborted()
    const code = (cause as NodeJS.ErrnoException).code ?? ''
    const reason = UNREACHABLE[code]
    if (reason != null) {
      return reason
    }
    throw new UsageError(`the control socket ${path} cannot be used: ${reasonOf(cause)}`, {
      cause,
      hint: 'a node that runs in this home is driven by the user who started it',
    })
  }
}

async function isThere(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) != null
}

function realOf(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}

function runtimeDirectory(): string {
  return join(process.env.XDG_RUNTIME_DIR || tmpdir(), `subnet-${userId()}`)
}

/** As the kernel knows the user; a user need not stand in /etc/passwd. */
function userId(): number {
  return process.getuid?.() ?? -1
}

async function checkPrivate(directory: string): Promise<void> {
  if (!(await isPrivate(directory))) {
    throw new Error(`${directory} is not a directory of this user alone`)
  }
}

/** Others could put a socket of theirs into a directory that is open to them. */
async function isPrivate(directory: string): Promise<boolean> {
  const stat = await lstat(directory).catch(() => undefined)
  return stat?.isDirectory() === true && stat.uid === userId() && (stat.mode & 0o077) === 0
}
