import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { reasonOf } from '../node/home/home.ts'
import { UsageError } from '../primitives/errors.ts'
import { fullPath } from '../primitives/full-path.ts'
import { ownFiles, ownPackage } from './own-files.ts'

/** This package, as the dependency of a new project. */
export interface OwnPackage {
  /** The package's folder. */
  root: string
  version: string
  dependencies?: Record<string, string>
  devDependencies?: Record<string, string>
  engines?: { node?: string }
}

export interface NewProtocol {
  name: string
  protocolId: string
  folder: string
  /** The written files, relative to the folder, sorted. */
  files: string[]
}

const MAX_NAME = 50
const HINT = `a name has small letters, digits, and single hyphens between them, begins with a letter, and is at most ${MAX_NAME} long: greet, key-value`
/** With these names, the new class would have the name of its base class. */
const TAKEN = ['protobuf', 'protobuf-streaming']

/** @throws UsageError for a name that does not fit a folder, a package, a class and a protocol ID */
export function checkName(name: string): void {
  if (name.length > MAX_NAME || !/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name)) {
    throw new UsageError(`not a name for a protocol: ${JSON.stringify(name)}`, { hint: HINT })
  }
  if (TAKEN.includes(name)) {
    throw new UsageError(`the name ${name} is taken by a class that protocols extend`, { hint: HINT })
  }
}

/** Writes a project for a new protocol into a folder with the protocol's name, completely or not at all. @throws UsageError */
export async function newProtocol(name: string, own: OwnPackage): Promise<NewProtocol> {
  checkName(name)
  const folder = fullPath(name)
  try {
    await mkdir(folder)
  } catch (cause) {
    const exists = (cause as NodeJS.ErrnoException).code === 'EEXIST'
    throw new UsageError(exists ? `${folder} already exists` : `${folder} cannot be made: ${reasonOf(cause)}`, {
      cause,
      hint: exists ? 'nothing was changed in it; choose another name, or another working directory' : undefined,
    })
  }
  try {
    const files = await copyTemplate(own, folder, name)
    return { name, protocolId: `/${name}/1.0.0`, folder, files }
  } catch (cause) {
    await rm(folder, { recursive: true, force: true })
    throw new UsageError(`${folder} cannot be written: ${reasonOf(cause)}`, { cause })
  }
}

/** npm drops a .gitignore when it packs, and would treat a nested package.json as a package. */
const RENAMED: Record<string, string> = { gitignore: '.gitignore', '_package.json': 'package.json' }

async function copyTemplate(own: OwnPackage, folder: string, name: string): Promise<string[]> {
  const packed = ownPackage()
  const archive = `subnet-cli-${own.version}.tgz`
  const words = wordsOf(name, own, packed == null ? own.root : `./${archive}`)
  const filled = (text: string): string => text.replace(/__([@\w/-]+?)__/g, (whole, word: string) => words[word] ?? whole)
  const files = [...(await ownFiles(own.root, 'templates/protocol'))].map(([file, text]): [string, string | Uint8Array] => [
    filled(RENAMED[file] ?? file),
    filled(text),
  ])
  if (packed != null) {
    files.push([archive, packed])
  }
  for (const [file, content] of files) {
    await mkdir(join(folder, dirname(file)), { recursive: true })
    await writeFile(join(folder, file), content, { flag: 'wx' })
  }
  return files.map(([file]) => file).sort()
}

/** @param own the path from which npm installs this package, so no registry is needed */
function wordsOf(name: string, { dependencies, devDependencies, engines }: OwnPackage, own: string): Record<string, string> {
  const parts = name.split('-')
  return {
    ...dependencies,
    ...devDependencies,
    'subnet-cli': `file:${own}`,
    engine: engines?.node ?? '*',
    kebab: name,
    snake: parts.join('_'),
    Pascal: parts.map((part) => part.replace(/^./, (letter) => letter.toUpperCase())).join(''),
  }
}
