import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { reasonOf } from '../node/home/home.ts'
import { UsageError } from '../primitives/errors.ts'
import { fullPath } from '../primitives/full-path.ts'
import { ownFiles, ownPackage } from './own-files.ts'

/** The package that a new project depends on: this one. */
export interface OwnPackage {
  /** Where it lies. */
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
  /** From the folder, sorted. */
  files: string[]
}

const MAX_NAME = 50
const HINT = `a name has small letters, digits, and single hyphens between them, begins with a letter, and is at most ${MAX_NAME} long: greet, key-value`
/** Its class would be called like the one that it extends. */
const TAKEN = ['protobuf', 'protobuf-streaming']

/** @throws UsageError for a name that cannot become that of a folder, a package, a class and a protocol id */
export function checkName(name: string): void {
  if (name.length > MAX_NAME || !/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name)) {
    throw new UsageError(`not a name for a protocol: ${JSON.stringify(name)}`, { hint: HINT })
  }
  if (TAKEN.includes(name)) {
    throw new UsageError(`the name ${name} is taken by a class that protocols extend`, { hint: HINT })
  }
}

/** Writes a project with a protocol of this name into a folder of this name, all of it or nothing. @throws UsageError */
export async function newProtocol(name: string, own: OwnPackage): Promise<NewProtocol> {
  checkName(name)
  const folder = fullPath(name)
  try {
    await mkdir(folder)
  } catch (cause) {
    const exists = (cause as NodeJS.ErrnoException).code === 'EEXIST'
    throw new UsageError(exists ? `${folder} is there already` : `${folder} cannot be made: ${reasonOf(cause)}`, {
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

/** npm leaves a .gitignore out of what it packs, and a package in a package is looked at as one. */
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

/** @param own where npm finds this package: no registry need have it */
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
