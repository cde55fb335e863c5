import { stat, statfs } from 'node:fs/promises'
import { DatabaseSync } from 'node:sqlite'
import type { Home } from '../../node/home/home.ts'
import { IF_DAMAGED } from '../../node/home/home-database.ts'
import { Descriptors } from '../../node/stack/descriptors.ts'
import { describeError } from '../../primitives/errors.ts'
import { examine, type Finding, ok, problem, skipped, warning } from './finding.ts'

const MIB = 2 ** 20
/** Free disk space in bytes. Below `least`, writes may fail; below `enough`, the disk may soon be full. */
const DISK = { least: 16 * MIB, enough: 256 * MIB }
/** A node has up to 300 connections, and needs descriptors for files as well. */
const ENOUGH_DESCRIPTORS = 1_024

export interface MachineInit {
  home: Home
  signal: AbortSignal
  /** @default the limits of this process */
  descriptors?: Pick<Descriptors, 'limit'>
  /** @default the user of this process; undefined on Windows */
  userId?: number | undefined
  /** Free bytes on the disk of the home. @default as reported by the system */
  freeBytes?: (path: string) => Promise<number>
}

/** Checks the machine without contacting a node: program, home, files, disk and file descriptors. */
export async function* examineMachine(init: MachineInit): AsyncGenerator<Finding> {
  const { home, signal, userId = process.getuid?.(), freeBytes = freeBytesAt, descriptors = new Descriptors() } = init
  yield ok({ check: 'program' }, `Node ${process.versions.node} on ${process.platform} ${process.arch}`)
  const about = { check: 'home', subject: home.path }
  const exists = await stat(home.path).catch(() => undefined)
  if (exists == null) {
    yield skipped(about, 'does not exist yet: the first command that needs it creates it')
  } else {
    yield await examine(about, signal, async () => judgeOwner(about, exists, userId))
    yield await examine({ check: 'key', subject: home.identityFile }, signal, async () => judgeKey(home, userId))
    yield await examine({ check: 'disk', subject: home.path }, signal, async () => judgeDisk(home, await freeBytes(home.path)))
    yield await examine({ check: 'database', subject: home.databaseFile }, signal, async () => judgeDatabase(home))
  }
  yield judgeDescriptors(descriptors)
}

function judgeOwner(
  about: { check: string; subject: string },
  { uid, mode }: { uid: number; mode: number },
  userId: number | undefined,
): Finding {
  const rights = (mode & 0o777).toString(8).padStart(4, '0')
  // root may access every file
  if (userId != null && userId !== 0 && uid !== userId) {
    return problem(about, {
      code: 'USAGE',
      message: `belongs to user ${uid}, and this is user ${userId}`,
      hint: 'run the command as that user, or use another --home',
    })
  }
  return (mode & 0o077) === 0
    ? ok(about, `private to this user (${rights})`)
    : warning(about, `open to other users (${rights})`, `chmod 700 ${about.subject}`)
}

async function judgeKey({ identityFile }: Home, userId: number | undefined): Promise<Finding> {
  const about = { check: 'key', subject: identityFile }
  const found = await stat(identityFile).catch(() => undefined)
  if (found == null) {
    return skipped(about, 'does not exist: the first command that needs a key creates one, unless --key names another')
  }
  if (userId != null && userId !== 0 && found.uid !== userId) {
    return problem(about, {
      code: 'USAGE',
      message: `belongs to user ${found.uid}, and this is user ${userId}`,
      hint: `chown ${userId} ${identityFile}`,
    })
  }
  return (found.mode & 0o077) === 0
    ? ok(about, 'private to this user')
    : warning(about, 'other users may read the key, and with it act as this peer', `chmod 600 ${identityFile}`)
}

function judgeDisk({ path }: Home, bytes: number): Finding {
  const about = { check: 'disk', subject: path }
  const free = `${Math.floor(bytes / MIB).toLocaleString('en')} MiB are free`
  if (bytes < DISK.least) {
    return problem(about, {
      code: 'LIMIT_EXCEEDED',
      message: `${free}: a node may lose data`,
      hint: 'free some space, or use --home on another disk',
    })
  }
  return bytes < DISK.enough ? warning(about, free, 'free some space before the disk is full') : ok(about, free)
}

/** Runs SQLite's integrity check. Reads work while another process writes to the database. */
async function judgeDatabase({ databaseFile }: Home): Promise<Finding> {
  const about = { check: 'database', subject: databaseFile }
  if ((await stat(databaseFile).catch(() => undefined)) == null) {
    return skipped(about, 'does not exist yet: the first command that needs it creates it')
  }
  try {
    const database = new DatabaseSync(databaseFile, { readOnly: true })
    try {
      const faults = database
        .prepare('PRAGMA quick_check(1)')
        .all()
        .map((row) => Object.values(row).join(' '))
      return faults.join() === 'ok'
        ? ok(about, 'whole')
        : problem(about, { code: 'USAGE', message: `damaged: ${faults.join()}`, hint: IF_DAMAGED })
    } finally {
      database.close()
    }
  } catch (cause) {
    return problem(about, { code: 'USAGE', message: `cannot be read: ${describeError(cause)}`, hint: IF_DAMAGED })
  }
}

function judgeDescriptors({ limit }: Pick<Descriptors, 'limit'>): Finding {
  const about = { check: 'descriptors' }
  if (limit == null) {
    return skipped(about, 'this system does not report how many files a process may have open')
  }
  const shown = `a process may have ${limit.toLocaleString('en')} files open`
  return limit < ENOUGH_DESCRIPTORS
    ? warning(about, `${shown}: at this limit a node refuses peers`, `run "ulimit -n ${ENOUGH_DESCRIPTORS}" before starting the node`)
    : ok(about, shown)
}

async function freeBytesAt(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path)
  return bavail * bsize
}
