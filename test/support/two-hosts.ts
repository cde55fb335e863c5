import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Stream } from '@libp2p/interface'
import { ProtocolError } from '../../src/protocol/api/errors.ts'
import type { ProtocolLimits } from '../../src/protocol/api/limits.ts'
import type { RequestContext } from '../../src/protocol/serve/incoming-request.ts'
import { eventually, TestHost, TextProtocol } from './protocol-host.ts'

/** How calls travel: each on a stream of its own, or all of a protocol on one. */
export const WAYS = [
  { way: 'on a stream of its own', pipelined: false },
  { way: 'on a stream that all share', pipelined: true },
]

/** Two connected hosts; after each test both must be as they were before. */
export function twoHosts({
  pipelined,
  ...limits
}: {
  client?: Partial<ProtocolLimits>
  server?: Partial<ProtocolLimits>
  pipelined?: boolean
} = {}): {
  client: TestHost
  server: TestHost
} {
  const hosts = {} as { client: TestHost; server: TestHost }

  before(async () => {
    hosts.client = await TestHost.start(limits.client, pipelined)
    hosts.server = await TestHost.start(limits.server, pipelined)
    await hosts.client.connect(hosts.server)
  })

  afterEach('no stream and no reserved byte is left', async () => {
    for (const [name, host] of Object.entries(hosts)) {
      await eventually(() => host.streams.length === 0, `the streams of the ${name} are gone`)
      await eventually(() => host.handling === 0, `the ${name} handles nothing`)
      await eventually(() => host.budget.free === host.limits.maxBytesInFlight, `the ${name} has its bytes back`)
    }
  })

  after(async () => {
    await Promise.all([hosts.client?.stop(), hosts.server?.stop()])
  })

  return hosts
}

let protocols = 0
export function freshId(): string {
  return `/test/${++protocols}/1.0.0`
}

type Handle = (text: string, context: RequestContext) => string | Promise<string>

/** One protocol on both hosts. */
export async function serve(
  { client, server }: { client: TestHost; server: TestHost },
  handle?: Handle,
): Promise<{ id: string; caller: TextProtocol }> {
  const id = freshId()
  const caller = new TextProtocol(client, id)
  const answerer = new TextProtocol(server, id, handle)
  await Promise.all([caller.ready, answerer.ready])
  return { id, caller }
}

/** The error that a call must end with. */
export async function failure(call: Promise<unknown>): Promise<ProtocolError> {
  const error = await call.then(
    () => assert.fail('it succeeded'),
    (cause: unknown) => cause,
  )
  assert.ok(error instanceof ProtocolError, `a ${String(error)} and no ProtocolError`)
  return error
}

export function verdict({ code, phase, mayHaveActed }: ProtocolError): unknown {
  return { code, phase, mayHaveActed }
}

/** A handler that runs until it is told to stop, and what it saw. */
export class Hanging {
  readonly started = Promise.withResolvers<RequestContext>()
  readonly #release = Promise.withResolvers<string>()
  running = 0

  readonly handle = async (_text: string, context: RequestContext): Promise<string> => {
    this.running++
    this.started.resolve(context)
    const { promise, reject } = Promise.withResolvers<never>()
    context.signal.addEventListener('abort', () => reject(context.signal.reason))
    return Promise.race([promise, this.#release.promise])
  }

  async aborted(): Promise<void> {
    const { signal } = await this.started.promise
    if (!signal.aborted) {
      await once(signal, 'abort')
    }
  }

  release(answer: string): void {
    this.#release.resolve(answer)
  }
}

export async function closed(stream: Stream): Promise<Error | undefined> {
  const { promise, resolve } = Promise.withResolvers<Error | undefined>()
  stream.addEventListener('close', (event) => resolve(event.error))
  return promise
}
