import assert from 'node:assert/strict'
import { mkdir, readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { freePort, linkedProject, runIn, tryOut } from '../support/linked-project.ts'
import { OTHER_PEER_ID, PEER_ID, seedFile } from '../support/seeds.ts'
import { TempFolders } from '../support/temp.ts'

const ROOT = join(import.meta.dirname, '../..')
const GUIDE = join(ROOT, 'docs/build-a-protocol.md')
/** The ports that the guide shows; each stands for one that is free. */
const PORTS = ['4001', '4002', '4003', '4004']
/** The homes whose peer IDs the guide shows: they have these keys, so that it shows what is printed. */
const HOMES = { server: OTHER_PEER_ID, 'shell-server': OTHER_PEER_ID, quiet: OTHER_PEER_ID, both: OTHER_PEER_ID, caller: PEER_ID }

describe('the guide to build a protocol', function () {
  this.timeout(120_000)
  const folders = new TempFolders()
  let guide: string
  let folder: string

  before(async () => {
    guide = await readFile(GUIDE, 'utf8')
    folder = await folders.make()
    await linkedProject(folder)
    for (const [home, peerId] of Object.entries(HOMES)) {
      await mkdir(join(folder, home))
      await seedFile(join(folder, home, 'identity.key'), peerId)
    }
  })

  after(async () => folders.clean())

  it('does what it says, block by block', async () => {
    const ports = await Promise.all(PORTS.map(async (port) => [`/tcp/${port}`, `/tcp/${await freePort()}`]))
    await tryOut({ markdown: guide, folder, env: { SUBNET_HOME: join(folder, 'home') }, placeholders: Object.fromEntries(ports) })
    // what follows its last own check too
    const { code, stdout } = await runIn(folder, 'tsc --noEmit --strict')
    assert.equal(code, 0, stdout)
  })

  it('names the versions that this package has and depends on', async () => {
    const [, named = ''] = /^```json package\.json\n([\s\S]*?)^```/m.exec(guide) ?? []
    const { engines, dependencies, devDependencies } = JSON.parse(named)
    const own = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
    assert.deepEqual(engines, own.engines)
    const versions = { 'subnet-cli': own.version, ...own.dependencies, ...own.devDependencies }
    for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
      assert.equal(version, versions[name], name)
    }
  })

  it('links to what is there', async () => {
    const headings = new Map<string, Set<string>>()
    for (const [, path = '', anchor] of guide.matchAll(/\]\(([^)#]*)#?([^)]*)\)/g)) {
      const file = path === '' ? GUIDE : join(dirname(GUIDE), path)
      await stat(file)
      if (anchor) {
        headings.set(file, headings.get(file) ?? anchorsOf(await readFile(file, 'utf8')))
        assert.ok(headings.get(file)?.has(anchor), `${path}#${anchor}`)
      }
    }
  })
})

/** What the headings of a Markdown document are linked to by. */
function anchorsOf(markdown: string): Set<string> {
  const headings = markdown.matchAll(/^#+ (.*)$/gm)
  return new Set(
    [...headings].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replace(/[^\w\- ]/g, '')
        .replaceAll(' ', '-'),
    ),
  )
}
