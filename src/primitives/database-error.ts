import { accessSync, closeSync, constants, existsSync, openSync, statfsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { reasonOf, SubnetError } from './errors.ts'

/** A database file and its name in messages. */
export interface DatabaseFile {
  file: string
  /** The name in messages. @default the database */
  name?: string
  /** The hint for a damaged file, or a file that is no database: which data is lost if the user moves it away. @default move it away */
  ifDamaged?: string
  /** How a user selects another file. */
  elsewhere?: string
}

/** A database file that cannot be opened, read or written: busy (TIMEOUT), or another fault of the file or the disk (USAGE). */
export class DatabaseError extends SubnetError {
  override readonly name = 'DatabaseError'
  readonly code: 'USAGE' | 'TIMEOUT'
  /** SQLite's extended result code. */
  readonly errcode: number

  constructor(code: 'USAGE' | 'TIMEOUT', errcode: number, message: string, options: { cause: unknown; hint: string }) {
    super(message, options)
    this.code = code
    this.errcode = errcode
  }
}

/** A database of a version that this program does not support. Its content was not changed. */
export class DatabaseVersionError extends SubnetError {
  override readonly name = 'DatabaseVersionError'
  readonly code = 'USAGE'

  constructor({ file, name = 'the database', elsewhere }: DatabaseFile, version: number, newest: number) {
    const hint = elsewhere == null ? 'update subnet' : `update subnet; ${elsewhere}`
    super(
      `${name} ${file} has version ${version}, and this program reads versions up to ${newest}: ${version < 0 ? 'another program' : 'a newer program'} wrote the file`,
      { hint },
    )
  }
}

interface Finding {
  code?: 'TIMEOUT'
  problem: string
  hint: string
}

/** SQLite's primary result codes for a fault of a file, a disk or another process, never for a fault in this program's SQL. */
const FINDINGS = new Map<number, (about: DatabaseFile, errcode: number) => Finding>([
  [3, notOpened], // PERM
  [5, busy], // BUSY
  [6, busy], // LOCKED
  [8, readOnly], // READONLY
  [10, ioError], // IOERR
  [11, damaged], // CORRUPT
  [13, full], // FULL
  [14, notOpened], // CANTOPEN
  [15, busy], // PROTOCOL: too many processes began to read at the same time
  [22, tooLarge], // NOLFS
  [26, noDatabase], // NOTADB
])

const SQLITE_READONLY = 8
const READONLY_DBMOVED = SQLITE_READONLY | (4 << 8)
const IOERR_SHMSIZE = 10 | (19 << 8)
const MOVE_AWAY = 'move it away'
const DATA_IS_WHOLE = 'the file is intact'

/** Describes a file error of SQLite. An error that does not concern a file, and a DatabaseError, is returned unchanged. */
export function toDatabaseError(error: unknown, about: DatabaseFile): unknown {
  const errcode = (error as { errcode?: unknown } | null)?.errcode
  if (typeof errcode !== 'number' || error instanceof DatabaseError) {
    return error
  }
  const found = FINDINGS.get(errcode & 0xff)?.(about, errcode)
  return found == null
    ? error
    : new DatabaseError(found.code ?? 'USAGE', errcode, `${about.name ?? 'the database'} ${about.file} ${found.problem}`, {
        cause: error,
        hint: found.hint,
      })
}

/**
 * Without this check SQLite opens a read-only file and creates files of this user next to it, which block other writers.
 * @throws DatabaseError
 */
export function refuseReadOnly(about: DatabaseFile): void {
  if (mayOnlyBeRead(about.file)) {
    throw toDatabaseError(Object.assign(new Error('attempt to write a readonly database'), { errcode: SQLITE_READONLY }), about)
  }
}

function mayOnlyBeRead(file: string): boolean {
  const canOpen = (flags: 'r' | 'r+'): boolean => failureOf(() => closeSync(openSync(file, flags))) == null
  return isFile(file) && !canOpen('r+') && canOpen('r')
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile()
  } catch {
    return false
  }
}

function busy({ file }: DatabaseFile): Finding {
  return {
    code: 'TIMEOUT',
    problem: 'is locked by another program',
    hint: `${DATA_IS_WHOLE}: try again when that program is done; "fuser ${file}" names it`,
  }
}

function full({ file }: DatabaseFile): Finding {
  return { problem: 'cannot be written: the disk is full', hint: `${DATA_IS_WHOLE}: make room on the disk of ${dirname(file)}` }
}

function readOnly(about: DatabaseFile, errcode: number): Finding {
  if (errcode === READONLY_DBMOVED) {
    return { problem: 'was moved or removed while it was in use', hint: 'end the programs that use it, and start them again' }
  }
  const { file } = about
  const reason = reasonOfFile(file, 'r+') ?? reasonOfFolder(dirname(file)) ?? 'the file or its folder is read-only'
  return {
    problem: `cannot be written: ${reason}`,
    hint: or(`${DATA_IS_WHOLE}: the file and its folder ${dirname(file)} must be writable`, about),
  }
}

function notOpened(about: DatabaseFile): Finding {
  const { file } = about
  const reason =
    reasonOfFile(file, 'r') ?? reasonOfFolder(dirname(file)) ?? 'the system denies access to the file, or to its -wal or -shm file'
  return {
    problem: `cannot be opened: ${reason}`,
    hint: or(`the file and its folder ${dirname(file)} must exist, and be readable and writable`, about),
  }
}

/** SQLite reports a full disk for its shared memory as an I/O error. */
function ioError(about: DatabaseFile, errcode: number): Finding {
  if (errcode === IOERR_SHMSIZE || hasNoRoom(dirname(about.file))) {
    return full(about)
  }
  return {
    problem: `cannot be read or written: the disk reports an error (SQLite code ${errcode})`,
    hint: 'the file may be intact: check the disk first (dmesg), then start again',
  }
}

function tooLarge(about: DatabaseFile): Finding {
  return {
    problem: 'exceeds the size limit for files here',
    hint: or(`${DATA_IS_WHOLE}: keep it on a file system other than that of ${dirname(about.file)}`, about),
  }
}

function damaged({ ifDamaged = MOVE_AWAY }: DatabaseFile): Finding {
  return { problem: 'is damaged', hint: ifDamaged }
}

function noDatabase({ ifDamaged = MOVE_AWAY }: DatabaseFile): Finding {
  return { problem: 'is not an SQLite database', hint: ifDamaged }
}

function or(hint: string, { elsewhere }: DatabaseFile): string {
  return elsewhere == null ? hint : `${hint}; ${elsewhere}`
}

function reasonOfFile(file: string, flags: 'r' | 'r+'): string | undefined {
  return failureOf(() => {
    // a missing file may be one that cannot be created
    const isFolder = statSync(file, { throwIfNoEntry: false })?.isDirectory()
    if (isFolder === true) {
      throw Object.assign(new Error(), { code: 'EISDIR' })
    }
    if (isFolder === false || !existsSync(dirname(file))) {
      closeSync(openSync(file, flags))
    }
  })
}

function reasonOfFolder(folder: string): string | undefined {
  const reason = failureOf(() => accessSync(folder, constants.W_OK | constants.X_OK))
  return reason == null ? undefined : `its folder ${folder}: ${reason}`
}

function failureOf(attempt: () => void): string | undefined {
  try {
    attempt()
    return undefined
  } catch (error) {
    return reasonOf(error)
  }
}

function hasNoRoom(folder: string): boolean {
  try {
    return statfsSync(folder).bavail === 0
  } catch {
    return false
  }
}
