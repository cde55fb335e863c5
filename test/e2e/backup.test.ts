import assert from 'node:assert/strict'
import { copyFile, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Cli, jsonError } from '../support/cli.ts'

const FILES = ['identity.key', 'config.json', 'node.db', 'ledger.db']

describe('backup and restore', function () {
  this.timeout(120_000)
  const cli = new Cli()
  let home: string
  let folder: string
  let backup: string
  let peerId: string

  before(async () => {
    ;[home, folder] = [await cli.home({ subnetId: 7, chain: 'ledger:' }), await cli.folder()]
    backup = join(folder, 'home.backup')
    const node = await cli.start(home, ['--publish', '--handler', 'echo'])
    peerId = node.peerId
    await cli.json(home, ['alias', 'set', 'bob', await strangerId()])
    await cli.json(home, ['status', '--wait', '1m'])
  })

  after(async () => cli.clean())

  async function strangerId(): Promise<string> {
    return String((await cli.json(await cli.home(), ['id']))['peerId'])
  }

  async function refused(args: string[], of = home): Promise<{ exit: number; message: string; hint?: string }> {
    const outcome = await cli.run(of, [...args, '--json'])
    assert.notEqual(outcome.code, 0, outcome.stdout)
    return jsonError(outcome)
  }

  /** A copy of the backup in which something was changed. */
  async function changed(sql: string): Promise<string> {
    const copy = join(await cli.folder(), 'changed.backup')
    await copyFile(backup, copy)
    const database = new DatabaseSync(copy)
    database.exec(sql)
    database.close()
    return copy
  }

  it('make one file of a home whose node runs, and the same home of it elsewhere', async () => {
    const made = await cli.json<{ peerId: string; file: string; files: Array<{ name: string; bytes: number }> }>(home, ['backup', backup])
    assert.deepEqual([made.peerId, made.file, made.files.map(({ name }) => name)], [peerId, backup, FILES])
    assert.equal((await stat(backup)).mode & 0o777, 0o600)
    assert.deepEqual(await readdir(folder), ['home.backup'])
    const other = await cli.folder()
    const restored = await cli.json(join(other, 'new'), ['restore', backup])
    assert.equal(restored['peerId'], peerId)
    const names = await readdir(join(other, 'new'))
    assert.deepEqual(names.filter((name) => !name.startsWith('node.lock')).sort(), FILES.toSorted())
    for (const name of FILES) {
      assert.equal((await stat(join(other, 'new', name))).mode & 0o077, 0, name)
    }
    assert.deepEqual(await readFile(join(other, 'new', 'identity.key')), await readFile(join(home, 'identity.key')))
    const [there, here] = await Promise.all([join(other, 'new'), home].map(async (of) => cli.json(of, ['config', 'get', 'subnetId'])))
    assert.deepEqual(there, here)
    assert.deepEqual(await cli.json(join(other, 'new'), ['alias', 'list']), await cli.json(home, ['alias', 'list']))
    assert.equal((await cli.json(join(other, 'new'), ['chain', 'lookup', peerId]))['peerId'], peerId)
  })

  it('copy a database as it was at one moment, however many write to it meanwhile', async () => {
    const database = new DatabaseSync(join(home, 'node.db'))
    database.exec('CREATE TABLE a (n INTEGER); CREATE TABLE b (n INTEGER)')
    let writing = true
    const writes = (async () => {
      for (let n = 0; writing; n++) {
        database.exec(`BEGIN; INSERT INTO a VALUES (${n}); INSERT INTO b VALUES (${n}); COMMIT`)
        await new Promise((resolve) => setImmediate(resolve))
      }
    })()
    const file = join(folder, 'busy.backup')
    await cli.json(home, ['backup', file])
    writing = false
    await writes
    database.exec('DROP TABLE a; DROP TABLE b')
    database.close()
    const other = join(await cli.folder(), 'new')
    await cli.json(other, ['restore', file])
    const copy = new DatabaseSync(join(other, 'node.db'))
    const [row] = copy.prepare('SELECT (SELECT count(*) FROM a) AS a, (SELECT count(*) FROM b) AS b').all()
    copy.close()
    assert.ok(Number(row?.['a']) > 0)
    assert.equal(row?.['a'], row?.['b'])
  })

  it('replace nothing', async () => {
    const before = await readFile(backup)
    assert.deepEqual(await refused(['backup', backup]).then(({ exit, message }) => [exit, message]), [
      2,
      `there is a file already: ${backup}`,
    ])
    assert.deepEqual(await readFile(backup), before)
    const used = await cli.home()
    await cli.json(used, ['id'])
    assert.match((await refused(['restore', backup], used)).message, /is in use: it has identity\.key$/)
    const configured = await cli.home({ subnetId: 9 })
    assert.match((await refused(['restore', backup], configured)).message, /is in use: it has config\.json$/)
    assert.deepEqual(await readdir(configured), ['config.json'])
  })

  it('refuse a home in which a node runs, and one without a key', async () => {
    const empty = await cli.home()
    assert.match((await refused(['backup', join(folder, 'none')], empty)).message, /^there is nothing to back up/)
    const key = join(folder, 'elsewhere.key')
    await cli.json(empty, ['key', 'new', '--key', key])
    const running = await cli.home()
    await cli.start(running, ['--key', key])
    const { message, exit } = await refused(['restore', backup], running)
    assert.ok(exit === 11 || /is in use: it has node\.db$/.test(message), message)
  })

  it('take nothing of a file that is no backup, is cut off, or was changed', async () => {
    const target = join(await cli.folder(), 'new')
    const text = join(folder, 'text')
    await writeFile(text, 'no backup '.repeat(1_000))
    const cut = join(folder, 'cut')
    await writeFile(cut, (await readFile(backup)).subarray(0, 20_000))
    for (const [file, says] of [
      [join(folder, 'nothing'), /no such file/],
      [folder, /not a regular file/],
      ['/dev/zero', /not a regular file/],
      [text, /is not an SQLite database/],
      [cut, /damaged|malformed/],
      [join(home, 'node.db'), /is not a backup of a home/],
      [await changed('PRAGMA user_version = 2'), /has format 2/],
      [
        await changed(`UPDATE part SET content = randomblob(length(content)) WHERE name = 'identity.key'`),
        /identity\.key does not match its checksum/,
      ],
      [await changed(`DELETE FROM part WHERE name = 'node.db'`), /node\.db does not match its checksum/],
      [await changed(`UPDATE part SET content = zeroblob(3000000) WHERE name = 'node.db'`), /node\.db does not match its checksum/],
      [await changed(`UPDATE file SET bytes = 1e12 WHERE name = 'node.db'`), /larger than the limit of a backup/],
      [await changed(`UPDATE file SET name = '../../escaped' WHERE name = 'node.db'`), /contains a file that no home has/],
      [await changed(`UPDATE file SET name = '/tmp/escaped' WHERE name = 'node.db'`), /contains a file that no home has/],
      [await changed(`CREATE VIEW more AS SELECT 1`), /contains SQL views or triggers/],
      [await changed(`UPDATE about SET peer_id = 'nobody'`), /belongs to nobody/],
    ] as const) {
      const { message, exit } = await refused(['restore', file], target)
      assert.equal(exit, 2, message)
      assert.match(message, says)
      const left = await readdir(target).catch(() => [])
      assert.deepEqual(
        left.filter((name) => !name.startsWith('node.lock')),
        [],
        message,
      )
    }
    await cli.json(target, ['restore', backup])
  })

  it('name what the home needs and the backup does not hold', async () => {
    const [other, key, ledger] = [await cli.home(), join(folder, 'other.key'), join(folder, 'ledger.db')]
    await cli.json(other, ['key', 'new', '--key', key])
    const env = { SUBNET_KEY: key, SUBNET_CHAIN: `ledger:${ledger}` }
    const made = await cli.json(other, ['backup', join(folder, 'other.backup')], { env })
    assert.deepEqual(made['left'], [key, ledger])
  })
})
