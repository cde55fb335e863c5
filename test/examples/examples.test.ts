import assert from 'node:assert/strict'
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort, linkedProject, runIn, tryOut } from '../support/linked-project.ts'
import { OTHER_PEER_ID, PEER_ID, seedFile } from '../support/seeds.ts'
import { TempFolders } from '../support/temp.ts'

const ROOT = join(import.meta.dirname, '../..')
const EXAMPLES = join(ROOT, 'examples')
/** Where the READMEs' server listens. */
const PORT = '4001'
/** The homes of the READMEs whose identities they show. */
const HOMES = { server: OTHER_PEER_ID, alice: PEER_ID }

/** Those with a protocol of their own have code that is generated from its .proto. */
const ALL = { 'key-value': { generated: true }, 'token-stream': { generated: true }, 'file-tier': { generated: false } }

/** All files below a folder, with what is in them. */
async function filesOf(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return Object.fromEntries(await Promise.all(paths.map(async (path) => [path.slice(folder.length), await readFile(path, 'utf8')])))
}

/** A package.json, as far as it is looked at here. */
interface Package {
  engines: Record<string, string>
  dependencies: Record<string, string>
  devDependencies: Record<string, string>
}

async function packageOf(folder: string): Promise<Package> {
  return JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))
}

for (const [name, { generated }] of Object.entries(ALL)) {
  describe(`the example ${name}`, function () {
    this.timeout(90_000)
    const source = join(EXAMPLES, name)
    const folders = new TempFolders()
    let folder: string

    async function succeeds(script: string): Promise<void> {
      const { code, stdout, stderr } = await runIn(folder, script)
      assert.equal(code, 0, `${script}: ${stdout}${stderr}`)
    }

    before(async () => {
      folder = await folders.make()
      // what somebody built or installed there stays there
      await cp(source, folder, { recursive: true, filter: (path) => !/[/\\](node_modules|dist)$/.test(path) })
      await linkedProject(folder)
    })

    after(async () => folders.clean())

    if (generated) {
      it('has the generated code that its .proto gives', async () => {
        await succeeds('npm run generate')
        assert.deepEqual(await filesOf(join(folder, 'src/gen')), await filesOf(join(source, 'src/gen')))
      })
    }

    it('has no type errors, in its tests neither', async () => {
      const all = { extends: './tsconfig.json', compilerOptions: { rootDir: '.', noEmit: true }, include: ['src', 'test'] }
      await writeFile(join(folder, 'tsconfig.all.json'), JSON.stringify(all))
      await succeeds('tsc -p tsconfig.all.json')
    })

    it('depends on the versions that this package depends on', async () => {
      const [example, own] = [await packageOf(source), await packageOf(ROOT)]
      const { 'subnet-cli': subnet, ...others } = { ...example.dependencies, ...example.devDependencies }
      assert.equal(subnet, 'file:../..')
      assert.deepEqual(example.engines, own.engines)
      for (const [dependency, version] of Object.entries(others)) {
        assert.equal(version, { ...own.dependencies, ...own.devDependencies }[dependency], dependency)
      }
    })

    it('passes its own tests', async () => succeeds('npm test'))

    it('builds, and does what its README says when it is served and called', async () => {
      await succeeds('npm run build')
      for (const [home, peerId] of Object.entries(HOMES)) {
        await mkdir(join(folder, home))
        await seedFile(join(folder, home, 'identity.key'), peerId)
      }
      const markdown = await readFile(join(source, 'README.md'), 'utf8')
      assert.ok(markdown.split('\n').length <= 60)
      await tryOut({
        markdown,
        folder,
        env: { SUBNET_HOME: join(folder, 'home') },
        placeholders: { [`/tcp/${PORT}`]: `/tcp/${await freePort()}` },
      })
    })
  })
}
