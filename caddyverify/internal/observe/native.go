package observe

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// latency is a histogram with classic buckets, and a native one beside them for those who
// scrape it: its buckets are at most 10 % wide, and it is one series.
func latency(m Metric, buckets []float64) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: m.Name, Help: m.Help, Buckets: buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	}, m.labelNames())
}

// Pushed says whether Caddy pushes the metrics, too. Its export sends, of a histogram that
// has both, the native one alone, without exemplars, which not all that receive OTLP
// take. So there is none then.
func (m *Metrics) Pushed(is bool) { m.pushed.Store(is) }

// nativeUnlessPushed collects histograms, and their native ones unless metrics are pushed.
type nativeUnlessPushed struct {
	*prometheus.HistogramVec
	pushed *atomic.Bool
}

// Collect implements prometheus.Collector.
func (n *nativeUnlessPushed) Collect(to chan<- prometheus.Metric) {
	if !n.pushed.Load() {
		n.HistogramVec.Collect(to)
		return
	}
	all := make(chan prometheus.Metric)
	go func() {
		defer close(all)
		n.HistogramVec.Collect(all)
	}()
	for metric := range all {
		to <- classic{metric}
	}
}

// classic is a histogram without its native one.
type classic struct{ prometheus.Metric }

// Write implements prometheus.Metric.
func (c classic) Write(out *dto.Metric) error {
	err := c.Metric.Write(out)
	if h := out.GetHistogram(); h != nil {
		h.Schema, h.ZeroThreshold, h.ZeroCount, h.ZeroCountFloat = nil, nil, nil, nil
		h.PositiveSpan, h.PositiveDelta, h.PositiveCount = nil, nil, nil
		h.NegativeSpan, h.NegativeDelta, h.NegativeCount = nil, nil, nil
		h.Exemplars = nil
	}
	return err
}
