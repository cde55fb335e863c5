// A router's part that maps ports, in a process of its own: test/support/gateway.ts with the JSON of its options, and a firewall (nft) that does what it says.
// It prints one line once it listens, and a line with what it has and was asked for each line that it reads.
import { execFile } from 'node:child_process'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { type Forward, Gateway } from './gateway.ts'

const run = promisify(execFile)

const element = ({ externalPort, client, internalPort }: Forward): string => `ip pm ports { ${externalPort} : ${client} . ${internalPort} }`

await run('nft', [
  'add table ip pm; add map ip pm ports { type inet_service : ipv4_addr . inet_service; }; ' +
    'add chain ip pm pre { type nat hook prerouting priority -100; }; ' +
    'add rule ip pm pre iifname "e0" dnat ip to tcp dport map @ports; ' +
    'insert rule ip g fw ct status dnat accept',
])
const gateway = await Gateway.open({
  ...JSON.parse(process.argv[2] ?? '{}'),
  onForward: async (forward) => void (await run('nft', [`add element ${element(forward)}`])),
  onRemove: async (forward) => void (await run('nft', [`delete element ${element(forward)}`])),
})
process.stdout.write('open\n')
for await (const _ of createInterface({ input: process.stdin })) {
  const { stdout } = await run('nft', ['list', 'map', 'ip', 'pm', 'ports'])
  process.stdout.write(`${JSON.stringify({ forwards: gateway.forwards, asked: gateway.asked, rules: stdout })}\n`)
}
await gateway.close()
