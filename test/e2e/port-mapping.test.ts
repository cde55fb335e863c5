import assert from 'node:assert/strict'
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Finding } from '../../src/cli/doctor/finding.ts'
import type { StatusAnswer } from '../../src/session/answers.ts'
import { Cli, type Outcome, type RunningNode } from '../support/cli.ts'
import type { Forward, GatewayInit } from '../support/gateway.ts'
import { type Household, NatLab } from '../support/nat-lab.ts'
import { type NetworkNamespace, whyNoFilter } from '../support/network-namespace.ts'
import { notRun } from '../support/not-run.ts'

const refusal = await whyNoFilter('45.79.0.2/24')
const GATEWAY = fileURLToPath(new URL('../support/gateway-process.ts', import.meta.url))
const ON = { SUBNET_PORT_MAPPING: 'true' }
/** Where a router hears nothing of one way. */
const UPNP: Partial<GatewayInit> = { natPmpPort: false }
const NAT_PMP: Partial<GatewayInit> = { ssdpPort: false }

/** What a router has and was asked, and its firewall's rules. */
interface RouterState {
  forwards: Forward[]
  asked: string[]
  rules: string
}

/** A process in a router that maps ports there. */
class GatewayProcess {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #lines: AsyncIterator<string>

  private constructor(child: ChildProcessByStdio<Writable, Readable, null>) {
    this.#child = child
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  }

  static async open({ router, ip, inside }: Household, init: Partial<GatewayInit>): Promise<GatewayProcess> {
    const [program = '', ...entering] = router.within
    const options = JSON.stringify({ address: `${inside}.1`, externalAddress: ip, ...init })
    const child = spawn(program, [...entering, process.execPath, GATEWAY, options], { stdio: ['pipe', 'pipe', 'inherit'] })
    const gateway = new GatewayProcess(child)
    assert.equal(await gateway.#line(), 'open')
    return gateway
  }

  async state(): Promise<RouterState> {
    this.#child.stdin.write('\n')
    return JSON.parse(await this.#line()) as RouterState
  }

  /** It hears and says nothing until it is closed. */
  freeze(): void {
    this.#child.kill('SIGSTOP')
  }

  async close(): Promise<void> {
    const over = once(this.#child, 'close')
    this.#child.kill('SIGCONT')
    this.#child.stdin.end()
    await over
  }

  async #line(): Promise<string> {
    const { value } = await this.#lines.next()
    return String(value)
  }
}

describe('a node behind a router that maps ports', function () {
  this.timeout(120_000)
  const cli = new Cli()
  const gateways: GatewayProcess[] = []
  let lab: NatLab
  /** Everybody reaches it. */
  let bootstrap: RunningNode
  /** Elsewhere in the public network. */
  let elsewhere: { home: string; network: NetworkNamespace }

  before(async function () {
    if (refusal != null) {
      notRun(this, `no network namespace with nft here: ${refusal}`)
    }
    lab = await NatLab.open()
    const { network, ip } = await lab.machine()
    bootstrap = await cli.start(await cli.home(), ['--listen', `/ip4/${ip}/tcp/4001`], { within: network.within })
    elsewhere = { home: await cli.home({ bootstrap: [bootstrap.address] }), network: (await lab.machine()).network }
  })

  afterEach(async () => {
    await Promise.all(gateways.splice(0).map(async (gateway) => gateway.close()))
  })

  after(async () => {
    await cli.clean()
    await lab?.close()
  })

  interface Placed extends Household {
    node: RunningNode
    gateway: GatewayProcess
    status: () => Promise<StatusAnswer>
    /** Of the command that runs on the node. */
    told: (...args: string[]) => Promise<Outcome>
  }

  async function household(init: Partial<GatewayInit> = {}): Promise<{ house: Household; gateway: GatewayProcess }> {
    const house = await lab.household()
    const gateway = await GatewayProcess.open(house, init)
    gateways.push(gateway)
    return { house, gateway }
  }

  async function placed(init: Partial<GatewayInit>, env: NodeJS.ProcessEnv = ON, args: string[] = []): Promise<Placed> {
    const { house, gateway } = await household(init)
    const home = await cli.home()
    const { within } = house.machine
    const start = ['--listen', '/ip4/0.0.0.0/tcp/4001', '--handler', 'echo', '--bootstrap', bootstrap.address, ...args]
    const node = await cli.start(home, start, { within, env })
    const told = async (...command: string[]): Promise<Outcome> => cli.run(home, command, { within })
    return { ...house, node, gateway, told, status: async () => JSON.parse((await told('status', '--json')).stdout) as StatusAnswer }
  }

  /** Its status, once this holds. */
  async function statusOnce({ status }: Placed, holds: (status: StatusAnswer) => boolean): Promise<StatusAnswer> {
    for (;;) {
      const answer = await status()
      if (holds(answer)) {
        return answer
      }
      await delay(100)
    }
  }

  async function mappingRow({ told }: Placed): Promise<Finding | undefined> {
    const { findings } = JSON.parse((await told('doctor', '--json')).stdout) as { findings: Finding[] }
    return findings.find(({ check }) => check === 'router')
  }

  const ways: Array<[protocol: string, init: Partial<GatewayInit>, port: number]> = [
    ['UPnP', UPNP, 4001],
    ['UPnP', { ...UPNP, version: 2, taken: [4001] }, 4002],
    ['NAT-PMP', { ...NAT_PMP, taken: [4001] }, 4002],
  ]
  for (const [protocol, init, port] of ways) {
    it(`is called directly by its peer ID: ${protocol}, at port ${port}, which its router forwards no longer once it has stopped`, async () => {
      const { taken = [] } = init
      const a = await placed(init)
      const external = `/ip4/${a.ip}/tcp/${port}`
      const status = await statusOnce(a, ({ reachability }) => reachability.verdict === 'public')
      const { portMapping } = status
      assert.deepEqual(
        [portMapping.status, portMapping.router, portMapping.protocol, portMapping.mappings.map(({ multiaddr }) => multiaddr)],
        ['mapped', `${a.inside}.1`, protocol, [external]],
      )
      assert.ok((portMapping.mappings[0]?.untilMs ?? 0) > Date.now())
      assert.ok(status.reachability.addresses.some(({ multiaddr, verdict }) => multiaddr === external && verdict === 'public'))
      assert.match((await a.gateway.state()).rules, new RegExp(`${port} : ${a.inside}\\.2 \\. 4001`))
      assert.match(
        (await a.told('status')).stdout,
        new RegExp(`router +${a.inside}\\.1 forwards ${external} for .* more \\(${protocol}\\)`),
      )
      assert.equal((await mappingRow(a))?.state, 'ok')

      const sent = await cli.json<{ multiaddr: string; source: string; resultBase64: string }>(
        elsewhere.home,
        ['send-task', a.node.peerId, '--text', 'hello'],
        { within: elsewhere.network.within },
      )
      assert.deepEqual(
        [sent.multiaddr, sent.source, Buffer.from(sent.resultBase64, 'base64').toString()],
        [`${external}/p2p/${a.node.peerId}`, 'neighbour', 'hello'],
      )

      const { code, ms } = await a.node.stop()
      assert.equal(code, 0)
      assert.ok(ms < 2_000, `stopped after ${ms} ms`)
      const after = await a.gateway.state()
      assert.doesNotMatch(after.rules, /4001/)
      assert.deepEqual(
        after.forwards.map(({ externalPort }) => externalPort),
        taken,
      )
    })
  }

  it('asks the router of a network that comes later, and again from another address there', async () => {
    const { house: first, gateway } = await household(UPNP)
    const home = await cli.home()
    const { machine, inside } = first
    await machine.removeAddress(`${inside}.2/24`)
    const node = await cli.start(home, ['--listen', '/ip4/0.0.0.0/tcp/4001'], { within: machine.within, env: ON })
    const mapped = async (): Promise<StatusAnswer['portMapping']> =>
      (await cli.json<StatusAnswer>(home, ['status'], { within: machine.within })).portMapping
    const internal = async (): Promise<string | undefined> => (await mapped()).mappings[0]?.internal
    const mappedTo = async (multiaddr: string | undefined): Promise<void> => {
      while ((await internal()) !== multiaddr) {
        await delay(100)
      }
    }
    assert.equal((await mapped()).status, 'unneeded')
    await machine.addAddress(`${inside}.2/24`)
    await machine.ip('route', 'add', 'default', 'via', `${inside}.1`)
    await mappedTo(`/ip4/${inside}.2/tcp/4001`)
    await machine.removeAddress(`${inside}.2/24`)
    await mappedTo(undefined)
    await machine.addAddress(`${inside}.3/24`)
    await machine.ip('route', 'add', 'default', 'via', `${inside}.1`)
    await mappedTo(`/ip4/${inside}.3/tcp/4001`)
    const forwards = (await gateway.state()).forwards.map(({ client, externalPort }) => [client, externalPort === 4001])
    // what its other address had ends with its lease
    assert.deepEqual(forwards, [
      [`${inside}.2`, true],
      [`${inside}.3`, false],
    ])
    await node.stop()
    assert.deepEqual(
      (await gateway.state()).forwards.map(({ client }) => client),
      [`${inside}.2`],
    )
  })

  it('does not announce an address that its router made up: nobody reached it there', async () => {
    const a = await placed({ ...UPNP, externalAddress: '45.79.0.200' })
    const made = '/ip4/45.79.0.200/tcp/4001'
    const status = await statusOnce(a, ({ reachability }) =>
      reachability.addresses.some((each) => each.multiaddr === made && each.reports.length > 0),
    )
    assert.equal(status.portMapping.mappings[0]?.multiaddr, made)
    assert.ok(!status.multiaddrs.some((address) => address.startsWith(made)), status.multiaddrs.join())
    await a.node.stop()
  })

  it('stops in time where its router answers no more', async () => {
    for (const init of [UPNP, NAT_PMP]) {
      const a = await placed(init)
      await statusOnce(a, ({ portMapping }) => portMapping.status === 'mapped')
      a.gateway.freeze()
      const { code, ms } = await a.node.stop()
      assert.deepEqual([code, ms < 2_000], [0, true], `${ms} ms`)
    }
  })

  it('says that another router is before its own, and takes no port', async () => {
    const a = await placed({ ...UPNP, externalAddress: '100.64.0.2' })
    const { portMapping } = await statusOnce(a, (status) => status.portMapping.status === 'unmapped')
    assert.match(portMapping.detail, /the external address 100\.64\.0\.2 of the router is not public: the router is behind another NAT/)
    assert.deepEqual((await a.gateway.state()).forwards, [])
    const row = await mappingRow(a)
    assert.deepEqual([row?.state, /not public/.test(row?.message ?? '')], ['warning', true])
    await a.node.stop()
  })

  it('starts, serves and stops in time where the router says nothing', async () => {
    const a = await placed({ natPmpPort: false, ssdpPort: false })
    const { portMapping } = await statusOnce(a, (status) => status.portMapping.status === 'unmapped')
    assert.match(portMapping.detail, /does not answer NAT-PMP; no UPnP router answers/)
    assert.equal((await mappingRow(a))?.state, 'warning')
    const { code, ms } = await a.node.stop()
    assert.deepEqual([code, ms < 2_000], [0, true])
  })

  it('asks nobody where it is told not to, or listens on loopback, or does not listen', async () => {
    const off = await placed({}, {}, ['--no-port-mapping'])
    assert.deepEqual((await off.status()).portMapping.status, 'off')
    assert.equal((await mappingRow(off))?.state, 'skipped')
    const { within } = off.machine
    const asked = ['send-task', bootstrap.peerId, '--text', 'x', '--bootstrap', bootstrap.address]
    await cli.run(await cli.home(), asked, { within, env: ON })
    const home = await cli.home()
    const near = await cli.start(home, ['--listen', '/ip4/127.0.0.1/tcp/0'], { within, env: ON })
    const { portMapping } = await cli.json<StatusAnswer>(home, ['status'], { within })
    assert.deepEqual([portMapping.status, portMapping.detail], ['unneeded', 'the node listens on no IPv4 address of a network'])
    await near.stop()
    await off.node.stop()
    assert.deepEqual((await off.gateway.state()).asked, [])
  })
})
