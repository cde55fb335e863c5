import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, stat, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { RawSettings, Settings } from '../../../src/node/home/config.ts'
import { ensureHome, type Home, homeAt } from '../../../src/node/home/home.ts'
import { loadSettings } from '../../../src/node/home/load-settings.ts'
import { createLogger } from '../../../src/observe/logger.ts'
import { bodyOf, collectBody } from '../../../src/protocol/message/body-bytes.ts'
import type { RequestContext } from '../../../src/protocol/serve/incoming-request.ts'
import { socketPath } from '../../../src/session/control/control-socket.ts'
import { RemoteSession } from '../../../src/session/control/remote-session.ts'
import { LocalSession } from '../../../src/session/local-session.ts'
import { openSession } from '../../../src/session/open-session.ts'
import { type RunningNode, serve } from '../../../src/session/serve.ts'
import type { Session } from '../../../src/session/session.ts'
import { addressOf, Lab } from '../../support/nodes.ts'
import { bytes, fails, type SessionWorld, sessionCompliance, textOf, Words } from '../../support/session-compliance.ts'

const lab = new Lab()
const log = createLogger('error', (line) => process.stderr.write(line))
const agent = 'test/1.0.0'
const running: RunningNode[] = []
const sessions: Session[] = []

async function settingsOf(home: Home, given: RawSettings): Promise<Settings> {
  return (await loadSettings({ flags: { heartbeatInterval: '2s', maxFrameBytes: '4194304', ...given }, env: {}, home })).settings
}

/** A node that others may drive, in a home of its own. */
async function node(given: RawSettings = {}, folder?: string): Promise<{ home: Home; settings: Settings; served: RunningNode }> {
  const home = homeAt(folder ?? (await lab.folder()))
  const settings = await settingsOf(home, { listen: ['/ip4/127.0.0.1/tcp/0'], portMapping: false, ...given })
  const served = await serve({ home, settings, agent, log })
  running.push(served)
  return { home, settings, served }
}

/** A session as a command gets it. */
async function open(home: Home, settings: Settings, timeoutMs?: number): Promise<Session> {
  const session = await openSession({ home, settings, agent, log, signal: new AbortController().signal, timeoutMs })
  sessions.push(session)
  return session
}

/** The peer of a compliance run. */
async function peer(): Promise<Pick<SessionWorld, 'peerId' | 'multiaddr' | 'cancelled' | 'words'>> {
  const given = new EventTarget()
  const ended: string[] = []
  const other = await lab.node({
    handler: {
      stream: async ({ taskId, payload }, context) =>
        taskId === 'as it comes' ? { chunks: payload.chunks } : bodyOf(await answer(taskId, await collectBody(payload), context)),
    },
  })
  const answer = async (taskId: string, payload: Uint8Array, { signal }: RequestContext): Promise<Uint8Array> => {
    const text = Buffer.from(payload).toString()
    if (text === 'no') {
      throw new Error('I will not')
    }
    if (text === 'wait') {
      await once(signal, 'abort')
      ended.push(taskId)
      given.dispatchEvent(new Event('up'))
    }
    return payload
  }
  return {
    peerId: other.peerId.toString(),
    multiaddr: addressOf(other),
    words: new Words(other),
    cancelled: async () => {
      while (ended.length === 0) {
        await once(given, 'up')
      }
      ended.length = 0
    },
  }
}

after(async () => {
  await Promise.all(sessions.map(async (session) => session.close()))
  await Promise.all(running.map(async (served) => served.stop()))
  await lab.clean()
})

sessionCompliance('in the process of the node', async () => {
  const other = await peer()
  const { served } = await node()
  await served.session.connect(other.multiaddr)
  return { ...other, session: served.session, runs: true }
})

sessionCompliance('over the control socket', async () => {
  const other = await peer()
  const { home, settings } = await node()
  const session = await open(home, settings)
  assert.ok(session instanceof RemoteSession)
  await session.connect(other.multiaddr)
  return { ...other, session, runs: true }
})

sessionCompliance('with a node of its own', async () => {
  const other = await peer()
  const home = homeAt(await lab.folder())
  const session = await open(home, await settingsOf(home, { bootstrap: [other.multiaddr] }))
  assert.ok(session instanceof LocalSession)
  return { ...other, session, runs: false }
})

describe('the control socket', function () {
  this.timeout(60_000)

  it('is for the user alone', async () => {
    const { home } = await node()
    assert.equal((await stat(socketPath(home))).mode & 0o777, 0o600)
  })

  it('is short where the home is not, in a directory for the user alone', async () => {
    const folder = join(await lab.folder(), 'a'.repeat(120))
    const runtime = await lab.folder()
    const before = process.env['XDG_RUNTIME_DIR']
    process.env['XDG_RUNTIME_DIR'] = runtime
    try {
      const { home, settings, served } = await node({}, folder)
      assert.ok(socketPath(home).startsWith(runtime), socketPath(home))
      const session = await open(home, settings)
      assert.equal((await session.id()).peerId, served.ready['peerId'])
      const directory = join(socketPath(home), '..')
      assert.equal((await stat(directory)).mode & 0o777, 0o700)
      await chmod(directory, 0o777)
      // others could have put their own there
      await assert.rejects(open(home, settings, 1), { code: 'ALREADY_RUNNING', message: /not private to this user/ })
      await session.close()
      await served.stop()
    } finally {
      process.env['XDG_RUNTIME_DIR'] = before
    }
  })

  it('that a killed node left behind is not taken for a node, nor does it hinder the next', async () => {
    const home = homeAt(await lab.folder())
    const program = `require('node:net').createServer().listen(${JSON.stringify(socketPath(home))}, () => process.kill(process.pid, 'SIGKILL'))`
    await once(spawn(process.execPath, ['-e', program]), 'exit')
    assert.ok((await stat(socketPath(home))).isSocket())
    const settings = await settingsOf(home, {})
    assert.ok((await open(home, settings)) instanceof LocalSession)
    await node({}, home.path)
    assert.ok((await open(home, settings)) instanceof RemoteSession)
  })

  it('that cannot be used is told of', async () => {
    const home = homeAt(await lab.folder())
    await ensureHome(home)
    const settings = await settingsOf(home, {})
    await writeFile(socketPath(home), '')
    assert.ok((await open(home, settings)) instanceof LocalSession, 'a file is no socket')
    const blocked = homeAt(await lab.folder())
    await mkdir(join(socketPath(blocked), 'folder'), { recursive: true })
    await fails(node({}, blocked.path), 'USAGE', /control socket .* cannot be opened/)
  })

  it('answers any Connect client, in JSON over HTTP/1.1 too', async () => {
    const { home, served } = await node()
    const post = async (method: string, body: unknown): Promise<{ status: number | undefined; answer: Record<string, unknown> }> => {
      const call = request({
        socketPath: socketPath(home),
        path: `/subnet.control.v1.ControlService/${method}`,
        method: 'POST',
        headers: { 'content-type': 'application/json' },
      })
      call.end(JSON.stringify(body))
      const [response] = await once(call, 'response')
      return { status: response.statusCode, answer: JSON.parse(Buffer.concat(await response.toArray()).toString()) }
    }
    assert.deepEqual((await post('Id', {})).answer['peerId'], served.ready['peerId'])
    assert.deepEqual(await post('Peers', {}), { status: 200, answer: {} })
    const wrong = await post('Ping', { peer: 'bob' })
    assert.equal(wrong.status, 400)
    assert.equal(wrong.answer['code'], 'invalid_argument')
    assert.equal((await post('Ping', { peer: 'x'.repeat(2 << 20) })).answer['code'], 'resource_exhausted')
  })

  it('ends with the node: a client that waits is told so', async () => {
    const other = await peer()
    const { home, settings, served } = await node()
    const session = await open(home, settings)
    const waiting = session.sendTask(other.multiaddr, { taskId: 't', payload: bytes('wait') }, { timeoutMs: 30_000 })
    const failed = fails(waiting, 'NOT_RUNNING', /the node stops; the peer may have acted on the request/)
    const watching = (async () => {
      for await (const peers of session.watchPeers()) {
        if (peers.length > 0) {
          void served.stop()
        }
      }
    })()
    await failed
    await fails(watching, 'NOT_RUNNING', /the node stops|ended before it answered/)
    await served.stopped
    assert.ok((await open(home, settings)) instanceof LocalSession)
  })

  it('stops the node, and is done when another may run in the home', async () => {
    const { home, settings, served } = await node()
    const session = await open(home, settings)
    assert.deepEqual(await session.stop(), { peerId: served.ready['peerId'], pid: process.pid })
    await fails(session.id(), 'NOT_RUNNING', /ended before it answered/)
    await node({}, home.path)
    assert.equal((await session.id()).peerId, served.ready['peerId'], 'the same home, and so the same peer')
  })

  it('does not wait for ever on a node that hangs', async () => {
    const home = homeAt(await lab.folder())
    const silent = createServer((socket) => socket.resume()).listen(socketPath(home))
    await once(silent, 'listening')
    const session = await open(home, await settingsOf(home, {}))
    await fails(session.peers({ timeoutMs: 100 }), 'TIMEOUT', /did not answer in time/)
    await session.close()
    silent.close()
  })

  it('tells a client that lost its node what may have happened', async () => {
    const home = homeAt(await lab.folder())
    const dying = createServer((socket) => socket.once('data', () => socket.destroy())).listen(socketPath(home))
    await once(dying, 'listening')
    const session = await open(home, await settingsOf(home, {}))
    const sending = session.sendTask('12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb', { taskId: 't', payload: bytes('x') })
    await fails(sending, 'NOT_RUNNING', /ended before it answered.*the peer may have acted/)
    dying.close()
  })

  it('carries thousands of calls that fail, and more after them', async () => {
    const { home, settings } = await node()
    const session = await open(home, settings)
    const to = '/ip4/127.0.0.1/tcp/1/p2p/12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb'
    const codes = new Set<string>()
    for (let round = 0; round < 30; round++) {
      const calls = Array.from({ length: 100 }, async () => session.sendTask(to, { taskId: 't', payload: bytes('x') }))
      for (const call of await Promise.allSettled(calls)) {
        codes.add(call.status === 'rejected' ? call.reason.code : 'none')
      }
    }
    assert.deepEqual([...codes], ['UNREACHABLE'])
    assert.ok((await session.id()).peerId)
  })

  it('carries a payload and a result of 3 MiB', async () => {
    const other = await peer()
    const { home, settings } = await node()
    const session = await open(home, settings)
    const text = 'x'.repeat(3 << 20)
    const answer = await session.sendTask(other.multiaddr, { taskId: 't', payload: bytes(text) })
    assert.equal((await textOf(answer)).length, text.length)
  })
})
