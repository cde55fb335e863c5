import type { MetricsRegister } from '@libp2p/gossipsub/metrics'
import type { CalculatedMetricOptions, MetricGroup } from '@libp2p/interface'
import { prometheusMetrics } from '@libp2p/prometheus-metrics'
import { Gauge, Histogram, type Registry } from 'prom-client'
import { withMethods } from '../../node/adapters/guarded-components.ts'
import type { StackMetrics } from '../../node/stack/stack-metrics.ts'

type Values = Record<string, number>

interface Config {
  name: string
  help: string
  labelNames?: string[]
}

const SUMMARIES: ReadonlyArray<[part: string, (values: number[]) => number]> = [
  ['avg', (values) => values.reduce((sum, value) => sum + value, 0) / values.length],
  ['min', (values) => Math.min(...values)],
  ['max', (values) => Math.max(...values)],
]

const NOTHING = (): void => undefined
const DISCARDED: MetricGroup = { update: NOTHING, increment: NOTHING, decrement: NOTHING, reset: NOTHING, timer: () => NOTHING }

/**
 * The metrics of one stack. `@libp2p/prometheus-metrics` keeps its instruments in one map per process: only the stack that was created last
 * is counted.
 */
export function stackMetrics(registry: Registry): StackMetrics {
  return {
    libp2p: { metrics: libp2pMetrics(registry) },
    gossipsub: (topics) => ({
      metricsRegister: gossipsubRegister(registry),
      metricsTopicStrToLabel: new Map(topics.map((topic) => [topic, topic])),
    }),
  }
}

function libp2pMetrics(registry: Registry): NonNullable<StackMetrics['libp2p']['metrics']> {
  return (components) => {
    const metrics = prometheusMetrics({ registry, collectDefaultMetrics: false })(components)
    // the constructor registers the memory and the file system of the machine, and the bytes that are not tracked here
    registry.clear()
    return withMethods(metrics, {
      // would wrap `send` and `dispatchEvent` of every connection and stream; the node counts the bytes of its calls itself
      trackMultiaddrConnection: () => NOTHING,
      trackProtocolStream: () => NOTHING,
      registerMetricGroup: (register) => (name, options) => {
        const given = (options ?? {}) as Partial<CalculatedMetricOptions<Values>>
        const { label, calculate } = given
        if (label === 'address') {
          // of listeners; clients of the endpoint are not authenticated
          return DISCARDED
        }
        if (calculate == null) {
          return register(name, options)
        }
        const current = async (): Promise<Values> => {
          // a protocol without streams is missing in the new values; the library would keep its old value
          registry.getSingleMetric(String(name))?.reset()
          return calculate()
        }
        return register(name, { ...given, calculate: current })
      },
    })
  }
}

/** The register of gossipsub. Its labels are kinds of events, protocols of gossipsub, and the topics of the node. */
function gossipsubRegister(registry: Registry): MetricsRegister {
  const registers = [registry]
  const register = {
    gauge: ({ name, help, labelNames = [] }: Config) => {
      const collectors: Array<(gauge: Gauge) => void> = []
      const gauge: Gauge = new Gauge({
        ...{ name, help, labelNames, registers },
        collect: () => {
          for (const collect of collectors) {
            collect(gauge)
          }
        },
      })
      return Object.assign(gauge, { addCollect: (collect: (gauge: Gauge) => void) => collectors.push(collect) })
    },
    histogram: (config: Config) => new Histogram({ ...config, registers }),
    avgMinMax: ({ name, help, labelNames = [] }: Config) => {
      const gauges = SUMMARIES.map(([part, summary]) => ({
        summary,
        gauge: new Gauge({ name: `${name}_${part}`, help, labelNames, registers }),
      }))
      return {
        set: (...args: [number[]] | [labels: Record<string, string>, values: number[]]) => {
          const [labels, values] = args.length === 1 ? [{}, args[0]] : args
          for (const { summary, gauge } of gauges) {
            gauge.set(labels, values.length === 0 ? 0 : summary(values))
          }
        },
      }
    },
  }
  // its types compute the parameters from the labels of each metric
  return register as unknown as MetricsRegister
}
