// Makes the virtualenv in which the Python peers of these tests run. Where that cannot be done: one line on stderr, exit code 77.
import { readFile, rm, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { CannotRun, makeOrSay, run } from './cannot-run.ts'

const FOLDER = fileURLToPath(new URL('../../node_modules/.cache/interop', import.meta.url))
const REQUIREMENTS = fileURLToPath(new URL('requirements.txt', import.meta.url))
/** What the virtualenv was made of; written when it is complete. */
const STAMP = `${FOLDER}/made-of.txt`
const PYTHONS = ['python3', 'python3.13', 'python3.12', 'python3.11']

/** The interpreter of the virtualenv. */
export const PYTHON = `${FOLDER}/bin/python`

/** A Python that is new enough, and what it says that it is. */
async function findPython(): Promise<{ python: string; version: string }> {
  for (const python of PYTHONS) {
    const version = await run(python, ['-c', 'import sys; print(sys.version)'], python).catch(() => '')
    const [, major, minor] = /^(\d+)\.(\d+)\./.exec(version) ?? []
    if (Number(major) === 3 && Number(minor) >= 11) {
      return { python, version }
    }
  }
  throw new CannotRun(`there is no Python 3.11 or newer: none of ${PYTHONS.join(', ')}`)
}

/** Makes the virtualenv unless it is there; gives its versions. @throws CannotRun where there is no Python, or the packages do not come */
export async function makePython(): Promise<string> {
  const { python, version } = await findPython()
  const requirements = await readFile(REQUIREMENTS, 'utf8')
  const made = `Python ${version.split(' ')[0]}, py-libp2p ${/^libp2p==(.+)$/m.exec(requirements)?.[1]}`
  const stamp = `${version}\n${requirements}`
  if ((await readFile(STAMP, 'utf8').catch(() => '')) === stamp) {
    return made
  }
  await rm(FOLDER, { recursive: true, force: true })
  await run(python, ['-m', 'venv', FOLDER], `${python} makes no virtualenv`)
  // each package is named, so that no version is chosen by a resolver
  const options = ['--no-deps', '--no-input', '--disable-pip-version-check', '--quiet', '--requirement', REQUIREMENTS]
  await run(PYTHON, ['-m', 'pip', 'install', ...options], 'pip cannot install what the Python peer needs')
  await run(PYTHON, ['-I', '-c', 'import libp2p'], 'py-libp2p cannot be loaded')
  await writeFile(STAMP, stamp)
  return made
}

if (import.meta.main) {
  await makeOrSay(makePython)
}
