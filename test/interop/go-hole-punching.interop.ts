import { Cli, type RunningNode } from '../support/cli.ts'
import { NatLab } from '../support/nat-lab.ts'
import type { NetworkNamespace } from '../support/network-namespace.ts'
import { whyNoFilter } from '../support/network-namespace.ts'
import { notRun } from '../support/not-run.ts'
import { GoLab } from './go-peer.ts'

const refusal = await whyNoFilter('45.79.0.2/24')

/** A Go peer has a public address, and a firewall that drops what nobody asked for; our node is behind a router that keeps ports. */
describe('hole punching with go-libp2p', function () {
  this.timeout(60_000)
  const cli = new Cli()
  let lab: NatLab
  let go: GoLab
  let listen: string[]
  let relay: RunningNode & { home: string }
  let ours: RunningNode & { home: string; network: NetworkNamespace }

  before(async function () {
    if (refusal != null) {
      notRun(this, `no network namespace with nft here: ${refusal}`)
    }
    lab = await NatLab.open()
    const outside = await lab.machine()
    relay = await start(outside.network, ['--listen', `/ip4/${outside.ip}/tcp/4001`, '--relay-service', 'on'])
    const network = await lab.behindRouter('keeps ports')
    ours = await start(network, ['--listen', '/ip4/0.0.0.0/tcp/4001', '--bootstrap', relay.address, '--log-level', 'debug'])
    const isOver = (address: string): boolean => address.startsWith(`${relay.address}/p2p-circuit/`)
    await relay.running.event(
      'heartbeat',
      ({ peerId, multiaddrs }) => peerId === ours.peerId && (multiaddrs as string[]).some((address) => isOver(address)),
    )
    const { network: walled, ip } = await lab.machine()
    await walled.nft('table ip f { chain inp { type filter hook input priority 0; iifname "e0" meta l4proto tcp ct state new drop; }; }')
    go = new GoLab(walled.within)
    listen = [`/ip4/${ip}/tcp/4001`]
  })

  after(async () => {
    await go?.clean()
    await cli.clean()
    await lab?.close()
  })

  async function start(network: NetworkNamespace, args: string[]): Promise<RunningNode & { home: string; network: NetworkNamespace }> {
    const home = await cli.home()
    return Object.assign(await cli.start(home, args, { within: network.within }), { home, network })
  }

  /** go-libp2p punches for connections that come once it has seen an address of its own that looks public: a moment after its start. */
  async function punches(peerId: string): Promise<void> {
    const known = async (): Promise<Array<{ peerId: string; protocols: string[] }>> => cli.json(relay.home, ['peers'])
    while ((await known()).every((peer) => peer.peerId !== peerId || !peer.protocols.includes('/libp2p/dcutr'))) {
      // asked again: an identify of the peer will say it
    }
  }

  it('gets a direct connection to a Go peer that is called by our node', async () => {
    const peer = await go.peer({ listen, dht: 'server', holePunching: true })
    await peer.do('dial', { address: relay.address })
    await peer.do('reserve', { address: relay.address })
    await punches(peer.peerId)
    await cli.json(ours.home, ['ping', `${relay.address}/p2p-circuit/p2p/${peer.peerId}`, '--count', '1'], { within: ours.network.within })
    await ours.running.says(new RegExp(`a hole was punched, as the peer asked for it.*${peer.peerId} address=${listen[0]}`))
  })

  it('gets a direct connection to a Go peer that calls our node', async () => {
    const peer = await go.peer({ listen: [`${listen[0]?.slice(0, -1)}2`], dht: 'server', holePunching: true })
    await peer.do('dial', { address: relay.address })
    await peer.do('dial', { address: `${relay.address}/p2p-circuit/p2p/${ours.peerId}` })
    await ours.running.says(new RegExp(`a hole was punched to a caller over a relay.*${peer.peerId}`))
  })
})
