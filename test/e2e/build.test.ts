import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFile, cp, mkdir, readdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { TempFolders } from '../support/temp.ts'

const REPO = fileURLToPath(new URL('../..', import.meta.url))
/** What a build is made of, and what it was made into. */
const COPIED = ['bin', 'src', 'scripts', 'tsconfig.json', 'tsconfig.build.json', 'package.json', 'package-lock.json', 'CHANGELOG.md']

describe('the build', function () {
  this.timeout(180_000)
  const folders = new TempFolders()
  let clone: string

  before(async () => {
    clone = await folders.make()
    for (const name of COPIED) {
      await cp(join(REPO, name), join(clone, name), { recursive: true })
    }
    // the packages of this repository, and a place of the copy's own
    await mkdir(join(clone, 'node_modules'))
    for (const name of await readdir(join(REPO, 'node_modules'))) {
      await symlink(join(REPO, 'node_modules', name), join(clone, 'node_modules', name))
    }
  })

  after(async () => folders.clean())

  function build(): ChildProcess {
    return spawn(process.execPath, ['scripts/build.mjs'], { cwd: clone, stdio: ['ignore', 'pipe', 'inherit'] })
  }

  async function outputOf(child: ChildProcess): Promise<string> {
    let text = ''
    child.stdout?.on('data', (chunk) => {
      text += chunk
    })
    const [code] = await once(child, 'close')
    assert.equal(code, 0)
    return text
  }

  async function subnet(...args: string[]): Promise<string> {
    return (await promisify(execFile)(process.execPath, [join(clone, 'bin', 'run.js'), ...args])).stdout
  }

  it('is skipped where nothing changed, and no command fails while it runs', async () => {
    assert.match(await outputOf(build()), /bundled/)
    assert.match(await outputOf(build()), /up to date/)
    const before = await readdir(join(clone, 'bundle'))
    await appendFile(join(clone, 'src', 'commands', 'id.ts'), '\n// changed\n')
    const again = build()
    const built = outputOf(again)
    let runs = 0
    while (again.exitCode == null) {
      assert.match(await subnet('alias', 'list', '--home', join(clone, 'home'), '--json'), /^\[\]/)
      runs++
    }
    assert.match(await built, /bundled/)
    assert.ok(runs > 3, `${runs} commands ran meanwhile`)
    // a command that began before still finds its files
    assert.deepEqual(
      before.filter((name) => !name.startsWith('main')),
      (await readdir(join(clone, 'bundle'))).filter((name) => before.includes(name) && !name.startsWith('main')),
    )
  })

  it('leaves nothing of an earlier one in a package', async () => {
    await promisify(execFile)(process.execPath, ['scripts/build.mjs', '--pack'], { cwd: clone })
    assert.equal((await readdir(join(clone, 'bundle'))).filter((name) => !name.startsWith('main')).length, 1)
    assert.equal(await subnet('alias', 'list', '--home', join(clone, 'home'), '--json'), '[]\n')
  })
})
