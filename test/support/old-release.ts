import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

const ROOT = resolve(import.meta.dirname, '../..')
/** In the tree, so that the library of the release finds its dependencies; linters and the compiler look nowhere below `node_modules`. */
const FOLDERS = join(ROOT, 'node_modules/.cache')

/** The last release: `test/fixtures/releases/README.md` says how it was packed. */
export const RELEASE = '0.1.0'

/** The last release, unpacked for the tests of one file. */
export class OldRelease {
  readonly #folder: string

  private constructor(folder: string) {
    this.#folder = folder
  }

  static async unpack(): Promise<OldRelease> {
    await mkdir(FOLDERS, { recursive: true })
    const folder = await mkdtemp(join(FOLDERS, 'subnet-release-'))
    await promisify(execFile)('tar', ['-xzf', join(ROOT, `test/fixtures/releases/subnet-cli-${RELEASE}.tar.gz`), '-C', folder])
    return new OldRelease(folder)
  }

  /** The root of its package. */
  get root(): string {
    return join(this.#folder, 'package')
  }

  /** Its command line, which needs no dependencies. */
  get bin(): string {
    return join(this.root, 'bin/run.js')
  }

  /** Puts Node's compile cache into the temporary folder. */
  get env(): NodeJS.ProcessEnv {
    return { NODE_COMPILE_CACHE: join(this.#folder, 'compiled') }
  }

  /** Why its library cannot run here: each dependency of another major version. Undefined where it can. */
  async unmet(): Promise<string | undefined> {
    const { dependencies } = await readPackage(this.root)
    const checks = Object.entries(dependencies ?? {}).map(async ([name, wanted]) => {
      const installed = await readPackage(join(ROOT, 'node_modules', name)).catch(() => undefined)
      return majorOf(installed?.version ?? 'none') === majorOf(wanted) ? [] : [`${name} ${wanted}, not ${installed?.version ?? 'none'}`]
    })
    const unmet = (await Promise.all(checks)).flat()
    return unmet.length === 0 ? undefined : `the library of ${RELEASE} needs ${unmet.join('; ')}`
  }

  /** A module of its library, by its path in `dist`. */
  async module(path: string): Promise<unknown> {
    return import(join(this.root, 'dist', path))
  }

  async remove(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true })
  }
}

async function readPackage(folder: string): Promise<{ version?: string; dependencies?: Record<string, string> }> {
  return JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))
}

/** Versions that begin alike are compatible: 3 of 3.3.11, 0.20 of 0.20.3. */
function majorOf(version: string): string {
  return /^(0\.)*\w+/.exec(version)?.[0] ?? version
}
