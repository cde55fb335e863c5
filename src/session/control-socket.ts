import { createHash } from 'node:crypto'
import { realpathSync } from 'node:fs'
import { chmod, lstat, rm } from 'node:fs/promises'
import { connect, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type Home, reasonOf } from '../node/home.ts'
import { UsageError } from '../primitives/errors.ts'
import { makeFolder } from '../primitives/folder.ts'

/** The path of a unix socket is cut off without a word beyond 104 (macOS) or 108 bytes (Linux). */
const MAX_PATH_BYTES = 100

/** Where a home's control socket is: in the home, or where that would be too long, in a private directory of the user. */
export function socketPath({ path }: Home): string {
  const inHome = join(path, 'node.sock')
  if (Buffer.byteLength(inHome) <= MAX_PATH_BYTES) {
    return inHome
  }
  const name = createHash('sha256').update(realOf(path)).digest('hex').slice(0, 24)
  return join(runtimeDirectory(), `${name}.sock`)
}

/** Listens on the home's control socket (0600). Only whoever holds the home's lock may: what is there already is left over. */
export async function listenForCommands(home: Home, server: Server): Promise<void> {
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
  } catch (cause) {
    throw new UsageError(`the control socket ${path} cannot be opened: ${reasonOf(cause)}`, { cause })
  }
}

/** A connection to the node that runs in the home; undefined where none does. @throws UsageError, the signal's reason */
export async function connectToNode(home: Home, signal: AbortSignal): Promise<Socket | undefined> {
  signal.throwIfAborted()
  const path = socketPath(home)
  if (dirname(path) !== home.path && !(await isPrivate(dirname(path)))) {
    return undefined
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
    // nothing there, or a socket that a killed node left behind
    if (['ENOENT', 'ECONNREFUSED', 'ENOTDIR'].includes((cause as NodeJS.ErrnoException).code ?? '')) {
      return undefined
    }
    throw new UsageError(`the control socket ${path} cannot be used: ${reasonOf(cause)}`, {
      cause,
      hint: 'a node that runs in this home is driven by the user who started it',
    })
  }
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
