/** Labels of an instrument. Each label has few values: no peer ID, no address, no text from a peer. */
export type Labels<Label extends string> = Readonly<Record<Label, string>>

/** Options of every instrument. */
export interface InstrumentOptions<Label extends string> {
  /** One sentence that describes the metric. */
  help: string
  /** The label names. @default none */
  labels?: readonly Label[] | undefined
}

export interface GaugeOptions<Label extends string> extends InstrumentOptions<Label> {
  /** True for a number that only grows: a counter that is read instead of counted. @default false */
  onlyGrows?: boolean | undefined
}

export interface HistogramOptions<Label extends string> extends InstrumentOptions<Label> {
  /** The unit; also the last word of the instrument's name. */
  unit: 'seconds' | 'bytes'
  /** Upper bounds of the buckets, in rising order. */
  buckets: readonly number[]
}

/** A number that only grows. */
export interface Counter {
  /** @param by a positive number. @default 1 */
  add(by?: number): void
}

/** Counts values per bucket, and their sum. */
export interface Histogram {
  /** Records a value, in the histogram's unit. */
  record(value: number): void
}

/** The instruments of one name, one per set of labels. A node keeps the instruments that it uses for every call. */
export interface Labelled<Label extends string, Instrument> {
  /** The instrument with these labels. */
  with(labels: Labels<Label>): Instrument
}

/** One value of a gauge. */
export interface Measured<Label extends string> {
  value: number
  labels: Labels<Label>
}

/**
 * Receives a node's metrics: a port for Prometheus, OpenTelemetry or a test. A node creates each instrument once, and names follow
 * Prometheus, such as `subnet_calls_total`. No method may throw.
 */
export interface Metrics {
  /** Creates a counter. */
  counter<Label extends string>(name: string, options: InstrumentOptions<Label>): Labelled<Label, Counter>
  /** Creates a histogram. */
  histogram<Label extends string>(name: string, options: HistogramOptions<Label>): Labelled<Label, Histogram>
  /** Registers a number that is read. @param read returns the values when they are collected; not called otherwise */
  gauge<Label extends string>(name: string, options: GaugeOptions<Label>, read: () => Iterable<Measured<Label>>): void
}

/** Discards all metrics. */
export const NO_METRICS: Metrics = {
  counter: () => ({ with: () => ({ add: () => undefined }) }),
  histogram: () => ({ with: () => ({ record: () => undefined }) }),
  gauge: () => undefined,
}
