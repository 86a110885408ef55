package observe

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// What is here keeps the number of series below a bound, whatever the traffic: labels
// have lists of values, and those with many are not crossed with each other.

// workflows are the values of the label workflow, as the ledger has them.
var workflows = [...]string{"default", "1", "2", "3", "4", "5", "6", "7", otherLabel}

// workflowVectors are the metrics of workflows. They know no country: both together are
// more than a thousand series.
type workflowVectors struct {
	started, succeeded *prometheus.CounterVec
}

// prepareCountries makes the series of countries, and ends those of countries that are
// listed no more.
func (m *AccountMetrics) prepareCountries(countries []string) {
	listed := map[string]bool{}
	for _, country := range append(slices.Clone(countries), otherLabel) {
		listed[country] = true
		m.started.WithLabelValues(country)
		for _, outcome := range wire.Outcomes {
			m.finished.WithLabelValues(string(outcome), country)
		}
	}
	before := m.listed.Swap(&listed)
	if before == nil {
		return
	}
	for country := range *before {
		if !listed[country] {
			for _, v := range []*prometheus.CounterVec{m.started, m.finished, m.cost} {
				v.DeletePartialMatch(prometheus.Labels{labelCountry.Name: country})
			}
		}
	}
}

// countryLabel is the value of the label country: that of a verification that began
// before a reload may be listed no more.
func (m *AccountMetrics) countryLabel(country string) string {
	if listed := m.listed.Load(); listed != nil && (*listed)[country] {
		return country
	}
	return otherLabel
}

// costCountry is the same for money. An account is billed in one currency, so amounts in
// others are not told by country.
func (m *AccountMetrics) costCountry(currency, country string) string {
	if m.currency.Load() == nil {
		m.currency.CompareAndSwap(nil, &currency)
	}
	if *m.currency.Load() != currency {
		return otherLabel
	}
	return m.countryLabel(country)
}

// callerStatus is the value of the label status of a caller's calls.
func callerStatus(o wire.Operation, status string) string {
	for _, source := range sources {
		if slices.Contains(statusesOf(o, source), status) {
			return status
		}
	}
	return otherLabel
}
