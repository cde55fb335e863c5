// npm run chaos -- [--minutes N] [--seed S]: ends with 1 where a task is lost, doubled, wrong or falsely reported, or a node is not as it should be.
// --mutate doubled lets a worker act twice on a task, which must be found.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { runCampaign } from './campaign.ts'

const FOLDER = 'subnet-chaos-'
/** A user, network, mount and process namespace: nothing of a campaign outlives the first process in there. */
const ALONE = ['--user', '--map-root-user', '--net', '--mount', '--pid', '--fork', '--mount-proc', '--kill-child']

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '2' },
    seed: { type: 'string', default: '1' },
    mutate: { type: 'string' },
    // set by the process outside
    inside: { type: 'string' },
    'why-alone': { type: 'string' },
  },
})

if (values.inside == null) {
  process.exitCode = await outside()
} else {
  // the process outside is gone
  process.stdin.on('end', () => process.exit(1)).resume()
  const [minutes, seed] = [Number(values.minutes), Number(values.seed)]
  const isClean = await runCampaign({ minutes, seed, folder: values.inside, whyAlone: values['why-alone'], mutation: values.mutate })
  process.exit(isClean ? 0 : 1)
}

/** Runs this program again, in new namespaces where the kernel allows them. */
async function outside(): Promise<number> {
  await removeOld()
  const folder = await mkdtemp(join(tmpdir(), `${FOLDER}${process.pid}-`))
  const whyAlone = await whyNoNamespaces()
  const own = [process.execPath, fileURLToPath(import.meta.url), ...process.argv.slice(2), '--inside', folder]
  const line = whyAlone == null ? ['unshare', ...ALONE, ...own] : [...own, '--why-alone', whyAlone]
  try {
    const child = spawn(line[0] as string, line.slice(1), { stdio: ['pipe', 'inherit', 'inherit'] })
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => child.stdin.destroy())
    }
    const [code] = await once(child, 'close')
    return code ?? 1
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function whyNoNamespaces(): Promise<string | undefined> {
  const child = spawn('unshare', [
    ...ALONE,
    'sh',
    '-c',
    'ip link set lo up && test -w /proc/sys/net/ipv4/ip_forward && mount -t tmpfs tmpfs /tmp',
  ])
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  try {
    const [code] = await once(child, 'close')
    return code === 0 ? undefined : said.trim().split('\n')[0] || `unshare ended with ${code}`
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** Folders of campaigns that were killed. Their processes ended with them. */
async function removeOld(): Promise<void> {
  for (const name of (await readdir(tmpdir())).filter((one) => one.startsWith(FOLDER))) {
    const pid = name.slice(FOLDER.length).split('-')[0]
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (!line.includes('chaos')) {
      await rm(join(tmpdir(), name), { recursive: true, force: true })
    }
  }
}
