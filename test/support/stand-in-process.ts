import { multiaddr } from '@multiformats/multiaddr'
import { own } from './owner.ts'
import { StandInChain } from './stand-in-chain.ts'

// a stand-in chain as a process, for other networks than that of the tests: its arguments are its IPv4 address and a peer that has a node
const [host, peer] = process.argv.slice(2) as [string, string]
const chain = await StandInChain.start({ host })
own(chain.state, chain.state.setNode(peer, multiaddr(`/ip4/203.0.113.7/tcp/1/p2p/${peer}`)))
process.stdout.write(`${chain.url}\n`)
