import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { HypertensorState, SUBNET } from '../test/support/hypertensor-state.ts'
import { strangerId } from '../test/support/keys.ts'
import { StandInChain } from '../test/support/stand-in-chain.ts'

// What commands cost that read a large subnet of a Hypertensor chain, as whole processes: `node bench/chain.ts [NODES]`.

const ROUNDS = 3
const RUN = new URL('../bin/run.js', import.meta.url).pathname
/** At its end a process tells what it used. */
const TELL = `data:text/javascript,import{writeSync}from'node:fs';process.on('exit',()=>writeSync(2,'USED'+JSON.stringify(process.resourceUsage())))`

interface Used {
  userCPUTime: number
  systemCPUTime: number
  maxRSS: number
}

async function measure(home: string, args: string[]): Promise<{ ms: number; cpuMs: number; mib: number }> {
  const startedAtMs = performance.now()
  const child = spawn(process.execPath, ['--import', TELL, RUN, ...args, '--home', home], { stdio: ['ignore', 'ignore', 'pipe'] })
  const told = (await child.stderr.setEncoding('utf8').toArray()).join('')
  const ms = performance.now() - startedAtMs
  const used = /USED(\{.*\})/.exec(told)?.[1]
  if (used == null) {
    throw new Error(`subnet ${args.join(' ')}: ${told}`)
  }
  const { userCPUTime, systemCPUTime, maxRSS } = JSON.parse(used) as Used
  return { ms, cpuMs: (userCPUTime + systemCPUTime) / 1_000, mib: maxRSS / 1_024 }
}

const nodes = Number(process.argv[2] ?? 5_000)
const state = new HypertensorState()
const peers = Array.from({ length: nodes }, strangerId)
for (const [index, { peerId, at }] of peers.entries()) {
  state.setNode(peerId, at(index))
}
const chain = await StandInChain.start({ state })
const home = await mkdtemp(join(tmpdir(), 'subnet-chain-'))
const flags = ['--chain', `hypertensor:${chain.url}`, '--subnet-id', String(SUBNET), '--json']
try {
  for (const args of [['chain', 'list'], ['chain', 'list', '--all'], ['chain', 'lookup', peers[0]?.peerId ?? ''], ['id']]) {
    for (let round = 0; round < ROUNDS; round++) {
      const { ms, cpuMs, mib } = await measure(home, [...args, ...(args[0] === 'id' ? [] : flags)])
      const name = args.slice(0, 2).join(' ') + (args.includes('--all') ? ' --all' : '')
      process.stdout.write(`${nodes} nodes  ${name.padEnd(18)} ${ms.toFixed(0)} ms, ${cpuMs.toFixed(0)} ms of CPU, ${mib.toFixed(0)} MiB\n`)
    }
  }
} finally {
  await chain.stop()
  await rm(home, { recursive: true, force: true })
}
