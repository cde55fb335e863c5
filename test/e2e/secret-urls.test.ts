import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Cli, jsonError, type Outcome, type RunningNode } from '../support/cli.ts'
import { SUBNET } from '../support/hypertensor-state.ts'
import { PEER_ID, seedFile } from '../support/seeds.ts'
import { StandInChain } from '../support/stand-in-chain.ts'

/** In the user, the password, the path and the query of a URL. */
const SECRETS = { user: 'S3cretUser', password: 'S3cretPass', path: 'S3cretPath', query: 'S3cretQuery' }
const SECRET = /S3cret|UzNjcmV0/i
const METHODS = [
  ...['state_getMetadata', 'state_getRuntimeVersion', 'chain_getBlockHash', 'chain_getHeader', 'state_getStorage', 'state_getKeysPaged'],
  ...['state_queryStorageAt', 'state_call', 'network_proofOfStake', 'chain_subscribeNewHeads'],
]
const DEBUG = ['--log-level', 'debug']

describe("secrets in the URL of a chain's endpoint", function () {
  this.timeout(120_000)
  const cli = new Cli()
  let chain: StandInChain
  let url: string
  let memberHome: string
  let member: RunningNode
  let strangerHome: string

  beforeEach(async () => {
    chain = await StandInChain.start()
    const { user, password, path, query } = SECRETS
    url = `hypertensor:${chain.url.replace('ws://', `ws://${user}:${password}@`)}/v1/${path}?apikey=${query}`
    const config = { chain: url, subnetId: SUBNET }
    memberHome = await cli.home(config)
    await seedFile(join(memberHome, 'identity.key'), PEER_ID)
    strangerHome = await cli.home(config)
  })

  afterEach(async () => {
    await cli.clean()
    await chain.stop()
  })

  function checkText(text: string, where: string): void {
    const found = SECRET.exec(text)
    assert.equal(found, null, `${where}: ${text.slice(Math.max(0, (found?.index ?? 0) - 300), (found?.index ?? 0) + 100)}`)
  }

  async function check(home: string, args: string[], options: Parameters<Cli['run']>[2] = {}): Promise<Outcome> {
    const outcome = await cli.run(home, args, options)
    checkText(outcome.stdout, `stdout of ${args.join(' ')}`)
    checkText(outcome.stderr, `stderr of ${args.join(' ')}`)
    return outcome
  }

  async function startMember(): Promise<void> {
    member = await cli.start(memberHome, ['--handler', 'echo', '--admission', 'registered', '--log-level', 'trace'])
  }

  /** What both sides of a refusal say, and what the member's owner sees. */
  async function admission(): Promise<Outcome> {
    for (const args of [
      ['status'],
      ['status', '--json'],
      ['config'],
      ['config', '--json'],
      ['chain', 'list'],
      ['chain', 'lookup', PEER_ID],
    ]) {
      await check(memberHome, [...args, ...DEBUG])
    }
    for (const args of [
      ['chain', 'list'],
      ['chain', 'lookup', PEER_ID, '--json'],
      ['ping', member.address],
      ['connect', member.address],
    ]) {
      await check(strangerHome, [...args, ...DEBUG])
    }
    return check(strangerHome, ['send-task', member.address, '--text', 'x', '--json'])
  }

  async function endOfMember(): Promise<void> {
    const { stdout, stderr } = await member.stop()
    checkText(stdout, 'stdout of the member')
    checkText(stderr, 'stderr of the member')
    for (const home of [memberHome, strangerHome]) {
      for (const file of await readdir(home)) {
        if (/^node\.db/.test(file)) {
          checkText((await readFile(join(home, file))).toString('latin1'), file)
        }
      }
    }
  }

  it('stay inside while the chain answers', async () => {
    await startMember()
    const outcome = await admission()
    const { code, message } = jsonError(outcome)
    assert.deepEqual([outcome.code, code], [12, 'NOT_ADMITTED'])
    assert.match(message, /is not registered in subnet \d+$/)
    const { chain: shown } = JSON.parse((await cli.run(memberHome, ['status', '--json'])).stdout)
    assert.deepEqual([shown.url, shown.endpoint], [`hypertensor:${chain.url}`, chain.url])
    await endOfMember()
  })

  it('stay inside while it answers errors that repeat the URL, and results that do', async () => {
    await startMember()
    const answers = [
      (): never => {
        throw new Error(
          `${url}: Basic ${Buffer.from(`${SECRETS.user}:${SECRETS.password}`).toString('base64')} refused at /v1/${SECRETS.path}`,
        )
      },
      (): string => `key ${SECRETS.query} of ${url} is over its quota`,
    ]
    for (const answer of answers) {
      for (const method of METHODS) {
        chain.answer(method, answer)
      }
      chain.drop()
      const { message } = jsonError(await admission())
      assert.match(message, /whether \S+ is registered (cannot be found out now|was not asked)/)
    }
    await endOfMember()
  })

  it('stay inside while it is away', async () => {
    await startMember()
    await chain.stop()
    const { message } = jsonError(await admission())
    assert.match(message, /whether \S+ is registered (cannot be found out now|was not asked)/)
    const { problems } = JSON.parse((await cli.run(memberHome, ['status', '--json'])).stdout)
    assert.ok(problems.some(({ code }: { code: string }) => code === 'CHAIN_UNAVAILABLE'))
    await endOfMember()
  })

  it('stay inside where a command is refused for its chain', async () => {
    await startMember()
    const other = url.replace(SECRETS.query, 'S3cretOther')
    const mismatch = await check(memberHome, ['peers', '--chain', other, '--json'])
    assert.equal(mismatch.code, 2)
    assert.match(
      jsonError(mismatch).message,
      /has hypertensor:ws:\S+\/…, not hypertensor:ws:\S+\/… \(the difference is in a part that is not shown\)$/,
    )
    const variable = await check(memberHome, ['peers'], { env: { SUBNET_CHAIN: other } })
    assert.match(variable.stderr, /^warn: SUBNET_CHAIN: .* \(the difference is in a part that is not shown\)$/m)
    const bare = url.replace('hypertensor:', '')
    const wrong: Array<[args: string[], options?: Parameters<Cli['run']>[2]]> = [
      [['chain', 'list', '--chain', bare]],
      [['chain', 'list', '--chain', url.replace('ws://', 'http://')]],
      [['chain', 'list', '--chain', url.replace('ws://', 'ws//')]],
      [['chain', 'list', '--chain', `${url}#x`]],
      [['chain', 'list', url]],
      [[url]],
      [['peers', '--chian', url]],
      [['start', '--no-repl'], { env: { SUBNET_CHAIN: bare } }],
      [['init', '--yes', '--chain', bare]],
    ]
    for (const [args, options] of wrong) {
      for (const json of [[], ['--json']]) {
        assert.equal((await check(strangerHome, [...args, ...json], options)).code, 2, args.join(' '))
      }
    }
    await endOfMember()
  })

  it('stay inside where config.json is written or cannot be read', async () => {
    const written = await check(await cli.home(), ['init', '--yes', '--chain', url, '--json'])
    assert.equal(written.code, 0, written.stdout)
    await check(await cli.home(), ['init', '--yes', '--chain', url])
    const broken = await check(await cli.home(`{"chain": ${url}}`), ['config', '--json'])
    assert.match(jsonError(broken).message, /^config \S+ is not JSON: /)
    const two = await check(await cli.home({ chain: [url, url] }), ['config', '--json'])
    assert.equal(two.code, 2)
  })

  it('are marked in the list of settings as left out, and that form is refused', async () => {
    const { settings } = await cli.json<{ settings: { chain: { value: string } } }>(memberHome, ['config'])
    assert.equal(settings.chain.value, `hypertensor:${chain.url}/…`)
    const outcome = await cli.run(strangerHome, ['chain', 'list', '--chain', settings.chain.value, '--json'])
    assert.match(jsonError(outcome).message, /replaces secrets where a URL is shown/)
  })
})
