package observe

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// callerVectors are the metrics of callers. There are series of those that the
// configuration names, and one of all others; none where it names none, since what
// clients are called is then anybody's word.
type callerVectors struct {
	requests, refused, isolated, upstream *prometheus.CounterVec
	started, finished, unchecked, cost    *prometheus.CounterVec
}

func (m *AccountMetrics) prepareCallers(names []string) {
	if len(names) == 0 {
		m.named.Store(nil)
		return
	}
	named := map[string]bool{}
	for _, name := range names {
		named[name] = true
		m.caller.started.WithLabelValues(name)
		m.caller.unchecked.WithLabelValues(name)
		for _, outcome := range wire.Outcomes {
			m.caller.finished.WithLabelValues(name, string(outcome))
		}
		for _, o := range wire.Operations {
			m.caller.upstream.WithLabelValues(name, o.String())
			m.caller.isolated.WithLabelValues(name, o.String())
		}
	}
	m.named.Store(&named)
}

// callerLabel is the value of the label caller: otherLabel for one that the configuration
// does not name, of before a reload, say; "" for no series.
func (m *AccountMetrics) callerLabel(name string) string {
	named := m.named.Load()
	switch {
	case named == nil:
		return ""
	case (*named)[name]:
		return name
	}
	return otherLabel
}

// Isolated counts a call of a caller about another's verification.
func (m *AccountMetrics) Isolated(caller string, o wire.Operation) {
	if label := m.callerLabel(caller); label != "" {
		m.caller.isolated.WithLabelValues(label, o.String()).Inc()
	}
}
