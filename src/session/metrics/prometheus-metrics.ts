import { Counter, collectDefaultMetrics, Gauge, type Metric, Registry } from 'prom-client'
import type { NodeMetrics } from '../../node/stack/stack-metrics.ts'
import type {
  GaugeOptions,
  HistogramOptions,
  InstrumentOptions,
  Labelled,
  Labels,
  Measured,
  Counter as OwnCounter,
  Histogram as OwnHistogram,
} from '../../observe/metrics.ts'
import { stackMetrics } from './stack-metrics.ts'

/** The sampling interval of the event loop delay, which the measured values include. At 10 ms, sampling alone costs 0.3 % of a core. */
const LAG_PRECISION_MS = 50

/**
 * The metrics of one node, in Prometheus text format. Counts are far more frequent than reads, so counts are plain numbers. prom-client
 * would format the labels for each count, so prom-client receives the values only on a read.
 */
export class PrometheusMetrics implements NodeMetrics {
  readonly #registry = new Registry()
  readonly #ofStack = new Registry()
  readonly stack = stackMetrics(this.#ofStack)

  counter<Label extends string>(name: string, { help, labels = [] }: InstrumentOptions<Label>): Labelled<Label, OwnCounter> {
    const counted: Array<{ labels: Labels<Label>; value: number }> = []
    new Counter({
      name,
      help,
      labelNames: [...labels],
      registers: [this.#registry],
      collect() {
        this.reset()
        for (const one of counted) {
          this.inc(one.labels, one.value)
        }
      },
    })
    return perLabels(labels, (given) => {
      const one = { labels: given, value: 0 }
      counted.push(one)
      return {
        add: (by = 1) => {
          one.value += by
        },
      }
    })
  }

  histogram<Label extends string>(name: string, { help, labels = [], buckets }: HistogramOptions<Label>): Labelled<Label, OwnHistogram> {
    const histograms: Array<PlainHistogram<Label>> = []
    const metric = {
      name,
      get: async () => ({ name, help, type: 'histogram', aggregator: 'sum', values: histograms.flatMap((each) => each.series(name)) }),
    }
    // the registry uses no other members of a metric
    this.#registry.registerMetric(metric as unknown as Metric)
    return perLabels(labels, (given) => {
      const made = new PlainHistogram(given, buckets)
      histograms.push(made)
      return made
    })
  }

  gauge<Label extends string>(
    name: string,
    { help, labels = [], onlyGrows = false }: GaugeOptions<Label>,
    read: () => Iterable<Measured<Label>>,
  ): void {
    const ReadMetric = onlyGrows ? Counter : Gauge
    new ReadMetric({
      name,
      help,
      labelNames: [...labels],
      registers: [this.#registry],
      collect() {
        this.reset()
        for (const measured of read()) {
          this.inc(measured.labels, measured.value)
        }
      },
    })
  }

  async text(): Promise<string> {
    return `${await this.#registry.metrics()}\n${await this.#ofStack.metrics()}`
  }
}

/** Caches one instrument for each set of labels. */
function perLabels<Label extends string, Instrument>(
  names: readonly Label[],
  make: (labels: Labels<Label>) => Instrument,
): Labelled<Label, Instrument> {
  const made = new Map<string, Instrument>()
  return {
    with: (labels) => {
      const key = names.length === 1 ? labels[names[0] as Label] : names.map((name) => labels[name]).join('\n')
      let found = made.get(key)
      if (found == null) {
        found = make({ ...labels })
        made.set(key, found)
      }
      return found
    },
  }
}

class PlainHistogram<Label extends string> implements OwnHistogram {
  readonly #labels: Labels<Label>
  readonly #bounds: readonly number[]
  /** Counts per bucket, not cumulative; the last bucket holds the values above all bounds. */
  readonly #counts: number[]
  #sum = 0

  constructor(labels: Labels<Label>, bounds: readonly number[]) {
    this.#labels = labels
    this.#bounds = bounds
    this.#counts = [...bounds.map(() => 0), 0]
  }

  record(value: number): void {
    let bucket = 0
    while (bucket < this.#bounds.length && value > (this.#bounds[bucket] as number)) {
      bucket++
    }
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1
    this.#sum += value
  }

  /** The cumulative Prometheus form: each bucket includes the lower buckets. */
  series(name: string): Array<{ metricName: string; labels: object; value: number }> {
    let below = 0
    const buckets = this.#counts.map((count, index) => {
      below += count
      return { metricName: `${name}_bucket`, labels: { ...this.#labels, le: this.#bounds[index] ?? '+Inf' }, value: below }
    })
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels: this.#labels, value: this.#sum },
      { metricName: `${name}_count`, labels: this.#labels, value: below },
    ]
  }
}

/** The metrics of this process: processor time, memory, event loop delay, file descriptors. */
export class ProcessMetrics {
  readonly #registry = new Registry()
  readonly contentType = this.#registry.contentType

  constructor() {
    collectDefaultMetrics({ register: this.#registry, eventLoopMonitoringPrecision: LAG_PRECISION_MS })
  }

  async text(): Promise<string> {
    return this.#registry.metrics()
  }
}
