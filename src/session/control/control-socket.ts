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

/** The maximum length of the socket path. The system truncates Unix socket paths silently, beyond 104 (macOS) or 108 bytes (Linux). */
const MAX_PATH_BYTES = 100
/** The maximum wait for a node that holds its home's lock but does not listen: the node may be starting, or restoring its socket. */
const PATIENCE_MS = 5_000
const RETRY_MS = 50

/** Descriptions of the errors of a socket without a node. */
const UNREACHABLE: Record<string, string> = {
  ENOENT: 'does not exist',
  ENOTDIR: 'does not exist',
  // a socket left by a killed node, or owned by another process
  ECONNREFUSED: 'refuses connections',
  EAGAIN: 'takes no more connections',
}

export interface ConnectOptions {
  signal: AbortSignal
  /** The maximum wait for a running node that does not answer, in milliseconds; at most 5 s. */
  timeoutMs?: number | undefined
}

/** The path of a home's control socket: in the home, or in a private directory of the user if the path would be too long. */
export function socketPath({ path }: Home): string {
  const inHome = join(path, 'node.sock')
  if (Buffer.byteLength(inHome) <= MAX_PATH_BYTES) {
    return inHome
  }
  const name = createHash('sha256').update(realOf(path)).digest('hex').slice(0, 24)
  return join(runtimeDirectory(), `${name}.sock`)
}

/**
 * Listens on the home's control socket (0600). The caller must hold the home's lock, so an existing socket is a leftover and is removed.
 * @returns a function that tells whether the socket file is still this one
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
 * Connects to the node that runs in the home; undefined if no node is running.
 * @throws NodeError ALREADY_RUNNING for a running node that cannot be reached, UsageError, the signal's reason
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
          hint: 'the node may be starting, stopping or busy: try again, or end its process. The path of the socket depends on XDG_RUNTIME_DIR and TMPDIR',
        },
      )
    }
    await delay(RETRY_MS, undefined, { signal }).catch(() => signal.throwIfAborted())
  }
}

/** Describes the holder of the home's lock; undefined if the lock is free. */
export async function holderOf(home: Home): Promise<string | undefined> {
  if (!(await isThere(home.lockFile))) {
    return undefined
  }
  // most commands find a node or no lock file, and skip the load of SQLite
  const { HomeLock } = await import('../../node/home/lock.ts')
  return HomeLock.holderOf(home)
}

/** Returns a connection, or a description of the socket's error. @throws UsageError, the signal's reason */
async function tryConnect(home: Home, signal: AbortSignal): Promise<Socket | string> {
  signal.throwIfAborted()
  const path = socketPath(home)
  if (dirname(path) !== home.path && !(await isPrivate(dirname(path)))) {
    return (await isThere(path)) ? 'is in a directory that is not private to this user' : 'does not exist'
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
      hint: 'only the user who started the node of this home can use the socket',
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

/** The user ID from the kernel; the user may be missing from /etc/passwd. */
function userId(): number {
  return process.getuid?.() ?? -1
}

async function checkPrivate(directory: string): Promise<void> {
  if (!(await isPrivate(directory))) {
    throw new Error(`${directory} is not a private directory of this user`)
  }
}

/** True for a directory of this user alone. In an open directory, another user could place a socket. */
async function isPrivate(directory: string): Promise<boolean> {
  const stat = await lstat(directory).catch(() => undefined)
  return stat?.isDirectory() === true && stat.uid === userId() && (stat.mode & 0o077) === 0
}
