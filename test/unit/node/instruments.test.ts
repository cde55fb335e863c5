import assert from 'node:assert/strict'
import { Instruments } from '../../../src/node/instruments.ts'
import { PrometheusMetrics } from '../../../src/session/metrics/prometheus-metrics.ts'
import { somebody } from '../../support/keys.ts'

const OWN = '/subnet/task_protocol/1.0.0'
const MANY = 10_000

describe('instruments', () => {
  const series = (text: string): string[] => text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))

  it('have no time series of their own for peers, and for protocols and failures that strangers name, however many there are', async () => {
    const metrics = new PrometheusMetrics()
    const instruments = new Instruments(metrics, () => [{ id: OWN }])
    const call = (protocolId: string, error?: Error): void => {
      const peerId = somebody()
      const ended = { protocolId, peerId, ms: 1, bytesSent: 1, bytesReceived: 1, error }
      instruments.onCall(ended)
      instruments.onRequest(ended)
    }
    call(OWN)
    call('/a/stranger', new Error('a'))
    const before = series(await metrics.text())
    for (let index = 0; index < MANY; index++) {
      call(`/stranger/${index}`, new Error(`stranger ${index}`))
      call('other', Object.assign(new Error('no'), { code: `E${index}` }))
    }
    const after = series(await metrics.text())
    assert.equal(after.length, before.length)
    assert.ok(
      after.includes(`subnet_calls_total{direction="outbound",protocol="other",outcome="failed"} ${2 * MANY + 1}`),
      after.join('\n'),
    )
    assert.ok(after.includes(`subnet_calls_total{direction="inbound",protocol="${OWN}",outcome="ok"} 1`))
  })
})
