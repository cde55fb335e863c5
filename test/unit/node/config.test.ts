import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import type { RawSettings } from '../../../src/node/home/config.ts'
import { homeAt } from '../../../src/node/home/home.ts'
import { loadSettings } from '../../../src/node/home/load-settings.ts'
import { parseDuration } from '../../../src/node/home/setting-kinds.ts'
import { UsageError } from '../../../src/primitives/errors.ts'
import { OTHER_PEER_ID, PEER_ID } from '../../support/seeds.ts'
import { TempFolders } from '../../support/temp.ts'

const A = `/ip4/127.0.0.1/tcp/1/p2p/${PEER_ID}`
const B = `/dns4/peer.example.org/tcp/2/p2p/${OTHER_PEER_ID}`

describe('settings', () => {
  const folders = new TempFolders()

  after(async () => folders.clean())

  async function load({ flags = {}, env = {}, config }: { flags?: RawSettings; env?: NodeJS.ProcessEnv; config?: unknown } = {}) {
    const home = homeAt(await folders.make())
    if (config != null) {
      await writeFile(home.configFile, typeof config === 'string' ? config : JSON.stringify(config))
    }
    return loadSettings({ flags, env, home })
  }

  async function refused(init: Parameters<typeof load>[0], says: RegExp): Promise<void> {
    await assert.rejects(load(init), (error) => {
      assert.ok(error instanceof UsageError)
      assert.match(error.message, says)
      return true
    })
  }

  it('have defaults', async () => {
    const { settings, sources } = await load()
    assert.deepEqual(settings, {
      bootstrap: [],
      subnetId: 1,
      network: 'native',
      mdns: false,
      portMapping: true,
      chain: 'ledger:',
      key: undefined,
      listen: [],
      announce: [],
      handler: undefined,
      protocol: [],
      reflection: true,
      heartbeatInterval: 20_000,
      heartbeatBudget: 4_096,
      publish: false,
      ownerKey: undefined,
      kadProtocol: undefined,
      gossipIpColocationWeight: -5,
      maxConnectionsPerIp: undefined,
      relayService: 'auto',
      relayReservations: 128,
      relayBytes: 16 * 1_024 * 1_024,
      relayDuration: 600_000,
      admission: 'open',
      minClass: 'registered',
      admissionOnError: 'deny',
      admissionExempt: [],
      allowPeers: [],
      allowPrivate: false,
      denyPeers: [],
      maxFrameBytes: 64 * 1_024 * 1_024,
      taskTimeout: 60_000,
      timeout: undefined,
      logLevel: 'warn',
      logFormat: 'text',
      log: [],
      metrics: undefined,
    })
    assert.ok(Object.values(sources).every((source) => source === 'default'))
  })

  it('have metrics on loopback where only a port is said', async () => {
    const read = async (metrics: string) => (await load({ flags: { metrics } })).settings.metrics
    assert.equal(await read('9464'), '127.0.0.1:9464')
    assert.equal(await read(':9464'), '127.0.0.1:9464')
    assert.equal(await read('0.0.0.0:9464'), '0.0.0.0:9464')
    assert.equal(await read('[::1]:0'), '[::1]:0')
    assert.equal(await read('localhost:9464'), 'localhost:9464')
    for (const metrics of [
      '',
      'localhost',
      '65536',
      '::1:9464',
      '1.2.3:1',
      '127.0.0.1:',
      '[127.0.0.1]:1',
      'http://127.0.0.1:9464',
      '1.2.3.4.5:1',
      'a b:1',
    ]) {
      await refused({ flags: { metrics } }, /^--metrics: ".*" is not valid; expected HOST:PORT, as 127\.0\.0\.1:9464/)
    }
  })

  it('come from the flag before the environment before config.json', async () => {
    const config = { subnetId: 4, handler: 'echo', chain: 'ledger:c', timeout: '1s' }
    const env = { SUBNET_SUBNET_ID: '3', SUBNET_HANDLER: 'upper', SUBNET_CHAIN: 'ledger:b' }
    const { settings, sources } = await load({ flags: { subnetId: '2', chain: undefined }, env, config })
    const { subnetId, handler, chain, timeout } = settings
    assert.deepEqual({ subnetId, handler, chain, timeout }, { subnetId: 2, handler: 'upper', chain: 'ledger:b', timeout: 1_000 })
    assert.deepEqual([sources.subnetId, sources.handler, sources.timeout, sources.listen], ['flag', 'env', 'config', 'default'])
  })

  it('that are lists are separated by commas in the environment', async () => {
    assert.deepEqual((await load({ env: { SUBNET_BOOTSTRAP: ` ${A}, ${B},` } })).settings.bootstrap, [A, B])
    assert.deepEqual((await load({ config: { bootstrap: [A, B] } })).settings.bootstrap, [A, B])
    assert.deepEqual((await load({ config: { bootstrap: A } })).settings.bootstrap, [A])
    const { settings } = await load({ flags: { bootstrap: [B] }, env: { SUBNET_BOOTSTRAP: A }, config: { bootstrap: [A] } })
    assert.deepEqual(settings.bootstrap, [B])
  })

  it('that are empty in the environment are not there', async () => {
    const { settings, sources } = await load({ env: { SUBNET_TIMEOUT: '', SUBNET_BOOTSTRAP: '' }, config: { timeout: '5s' } })
    assert.deepEqual([settings.timeout, settings.bootstrap], [5_000, []])
    assert.deepEqual([sources.timeout, sources.bootstrap], ['config', 'default'])
  })

  it('may be numbers and switches in config.json, and null is nothing', async () => {
    const { settings } = await load({ config: { subnetId: 7, publish: true, maxFrameBytes: '2048', key: null } })
    const { subnetId, publish, maxFrameBytes, key } = settings
    assert.deepEqual({ subnetId, publish, maxFrameBytes, key }, { subnetId: 7, publish: true, maxFrameBytes: 2_048, key: undefined })
  })

  const cases: Array<[init: Parameters<typeof load>[0], says: RegExp]> = [
    [{ flags: { subnetId: '1.5' } }, /^--subnet-id: "1\.5" is not valid; expected a whole number from 0 to 4294967295$/],
    [{ flags: { subnetId: '4294967296' } }, /^--subnet-id: /],
    [{ flags: { subnetId: '' } }, /^--subnet-id: "" is not valid/],
    [{ flags: { key: '' } }, /^--key: "" is not valid; expected a non-empty text$/],
    [{ flags: { listen: [''] } }, /^--listen: \[""\] is not valid; expected non-empty texts$/],
    [{ env: { SUBNET_HEARTBEAT_INTERVAL: '11m' } }, /^SUBNET_HEARTBEAT_INTERVAL: "11m" .* expected a duration from 500ms to 600s$/],
    [{ flags: { heartbeatBudget: '255' } }, /^--heartbeat-budget: "255" is not valid; expected a whole number from 256 to 2147483647$/],
    [{ env: { SUBNET_PUBLISH: '1' } }, /^SUBNET_PUBLISH: "1" is not valid; expected true or false$/],
    [{ env: { SUBNET_LOG_LEVEL: 'loud' } }, /^SUBNET_LOG_LEVEL: .*one of silent, error, warn, info, debug, trace$/],
    [{ env: { SUBNET_LOG: 'call:debug,calls:info' } }, /^SUBNET_LOG: .* expected SCOPE:LEVEL, with a scope of \*, node, call, /],
    [{ config: { log: ['call'] } }, /^"log" in .* expected SCOPE:LEVEL, /],
    [{ env: { SUBNET_LOG_FORMAT: 'xml' } }, /^SUBNET_LOG_FORMAT: .* expected one of text, json$/],
    [{ config: { timeout: 5 } }, /^"timeout" in \S+\/config\.json: 5 is not valid; expected a duration like/],
    [{ config: { timeout: ['5s', '6s'] } }, /^"timeout" in .* expected one value only$/],
    [{ config: { timeout: [] } }, /^"timeout" in .* expected one value only$/],
    [{ config: { chain: {} } }, /^"chain" in .*: \{\} is not valid; expected a text, a number, true or false$/],
    [{ config: { bootstrap: [null] } }, /^"bootstrap" in .*: \[null\] is not valid; expected texts$/],
    [{ config: { bootstrap: ['/ip4/127.0.0.1/tcp/1'] } }, /^"bootstrap" in .*: multiaddr without a peer ID/],
    [{ config: { nonsense: 1, toString: 2 } }, /has unknown settings: nonsense, toString$/],
    [{ config: 'null' }, /is not a JSON object$/],
    [{ config: '{' }, /is not JSON: /],
  ]
  for (const [init, says] of cases) {
    it(`are refused, with where they stand: ${JSON.stringify(init)}`, async () => refused(init, says))
  }
})

describe('a duration', () => {
  const good: Array<[text: string, ms: number]> = [
    ['500ms', 500],
    ['20s', 20_000],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['1.5s', 1_500],
    ['0.6ms', 1],
  ]
  for (const [text, ms] of good) {
    it(`is read: ${text}`, () => assert.equal(parseDuration(text), ms))
  }

  for (const text of ['', '5', 's', '5 s', '-5s', '0s', '0.1ms', '5S', '1e3s', 'Infinitys', '999h', '5s5', ' 5s']) {
    it(`is none: ${JSON.stringify(text)}`, () => assert.throws(() => parseDuration(text), /a duration like 500ms, 20s or 5m/))
  }
})
