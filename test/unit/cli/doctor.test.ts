import assert from 'node:assert/strict'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { exitCodeOf, type Finding, inOrder, ok, problem, skipped, warning } from '../../../src/cli/doctor/finding.ts'
import { examineMachine, type MachineInit } from '../../../src/cli/doctor/machine-checks.ts'
import { findingLine } from '../../../src/cli/text/finding-text.ts'
import { type Home, homeAt } from '../../../src/node/home/home.ts'
import { openHomeDatabase } from '../../../src/node/home/home-database.ts'
import { TempFolders } from '../../support/temp.ts'

const { signal } = new AbortController()
const MIB = 2 ** 20

describe('doctor, of a machine', () => {
  const folders = new TempFolders()
  let home: Home

  beforeEach(async () => {
    home = homeAt(join(await folders.make(), 'home'))
    await mkdir(home.path, { mode: 0o700 })
  })

  afterEach(async () => folders.clean())

  async function find(check: string, init: Partial<MachineInit> = {}): Promise<Finding> {
    const findings = await Array.fromAsync(examineMachine({ home, signal, ...init }))
    const found = findings.find((finding) => finding.check === check)
    assert.ok(found != null, `nothing was found about ${check}`)
    return found
  }

  it('says that a home is not there yet, and looks for nothing in it', async () => {
    const findings = await Array.fromAsync(examineMachine({ home: homeAt(join(home.path, 'none')), signal }))
    assert.deepEqual(
      findings.map(({ check, state }) => `${check} ${state}`),
      ['program ok', 'home skipped', 'descriptors ok'],
    )
  })

  it('warns of a home that others may look into, and says what to do', async () => {
    assert.equal((await find('home')).state, 'ok')
    await chmod(home.path, 0o755)
    const { state, hint } = await find('home')
    assert.deepEqual([state, hint], ['warning', `chmod 700 ${home.path}`])
  })

  it('finds that a home belongs to another user, unless that is for root to use', async () => {
    const own = process.getuid?.() ?? 0
    assert.deepEqual(pick(await find('home', { userId: own + 1 })), ['problem', 'USAGE'])
    assert.deepEqual(pick(await find('home', { userId: 0 })), ['ok', null])
  })

  it('warns of a key that others may read', async () => {
    assert.equal((await find('key')).state, 'skipped')
    await writeFile(home.identityFile, 'x', { mode: 0o600 })
    assert.equal((await find('key')).state, 'ok')
    await chmod(home.identityFile, 0o644)
    const { state, hint } = await find('key')
    assert.deepEqual([state, hint], ['warning', `chmod 600 ${home.identityFile}`])
  })

  for (const [free, expected] of [
    [MIB, ['problem', 'LIMIT_EXCEEDED']],
    [100 * MIB, ['warning', null]],
    [1_000 * MIB, ['ok', null]],
  ] as const) {
    it(`says ${expected[0]} where ${free / MIB} MiB of the disk are free`, async () => {
      const found = await find('disk', { freeBytes: async () => free })
      assert.deepEqual(pick(found), expected)
      assert.match(found.message, new RegExp(`^${(free / MIB).toLocaleString('en')} MiB are free`))
    })
  }

  it('tells a whole database from a damaged one, and from what is none', async () => {
    assert.equal((await find('database')).state, 'skipped')
    const database = await openHomeDatabase(home)
    assert.equal((await find('database')).state, 'ok', 'while it is open')
    database.close()
    await writeFile(home.databaseFile, 'this is no database at all, and long enough to be looked at')
    const { state, code, message, hint } = await find('database')
    assert.deepEqual([state, code], ['problem', 'USAGE'])
    assert.match(message, /not a database/)
    assert.match(hint ?? '', /move it away/)
  })

  it('warns where a process may have few files open', async () => {
    assert.equal((await find('descriptors', { descriptors: { limit: 256 } })).state, 'warning')
    assert.equal((await find('descriptors', { descriptors: { limit: 65_536 } })).state, 'ok')
    assert.equal((await find('descriptors', { descriptors: { limit: undefined } })).state, 'skipped')
  })
})

describe('what doctor found', () => {
  it('comes in order; where one check fails the others are waited for, and none of them ends the process', async () => {
    const late = Promise.withResolvers<string>()
    const failing = async (): Promise<string> => {
      throw new Error('the first')
    }
    const told = Array.fromAsync(inOrder([late.promise, failing(), failing()]))
    setImmediate(() => late.resolve('late'))
    await assert.rejects(told, /the first/)
    assert.deepEqual(await Array.fromAsync(inOrder([Promise.resolve(1), Promise.resolve(2)])), [1, 2])
  })

  const about = { check: 'tier', subject: 'gossip' }

  it('ends with the code of the first problem; nothing else counts', () => {
    const fine = [ok(about, ''), warning(about, ''), skipped(about, '')]
    assert.equal(exitCodeOf(fine), 0)
    const first = problem(about, { code: 'UNREACHABLE', message: '' })
    assert.equal(exitCodeOf([...fine, first, problem(about, { code: 'USAGE', message: '' })]), 4)
  })

  it('is a line each, without control characters, and what to do in a second one', () => {
    assert.match(findingLine(ok(about, 'known')), /^\S*ok .*tier +gossip: known$/)
    const lines = findingLine(warning({ check: 'node' }, 'a\u001b[2Jb', 'do this')).split('\n')
    assert.equal(lines.length, 2)
    assert.equal(lines.join().includes('\u001b[2J'), false)
    assert.match(lines[1] ?? '', /^ +\S*hint: do this/)
  })
})

function pick({ state, code }: Finding): [string, string | null] {
  return [state, code]
}
