package sim

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// check looks at all that has happened, when all is over.
func (w *world) check(t *testing.T, final *gateway.Snapshot) {
	t.Helper()
	series := w.scrape(t)
	w.checkDeliveries()
	w.checkRate()
	w.checkBooks(series)
	w.checkSecrets(series)
	w.checkBounds(final)
}

// checkDeliveries: the provider acted at most once for a logical start, and no accepted
// one is lost.
func (w *world) checkDeliveries() {
	b := &w.book
	b.mu.Lock()
	defer b.mu.Unlock()
	told := map[string]string{}
	for number, s := range b.byNumber {
		if len(s.accepted) > 1 {
			w.violated(1, "the provider accepted %d verifications for %s", len(s.accepted), number)
		}
		if s.sent > s.attempts+1 { // the last one may be under way still when the user gives up
			w.violated(1, "%s was sent %d times for %d attempts", number, s.sent, s.attempts)
		}
		if s.key != "" && s.sent > 1+s.unsent {
			w.violated(1, "%s has an Idempotency-Key and was sent %d times, of which %d may be", number, s.sent, 1+s.unsent)
		}
		for _, id := range s.told {
			if owner := told[id]; owner != "" && owner != number {
				w.violated(8, "%s was given to %s and to %s", id, owner, number)
			}
			told[id] = number
		}
		if len(s.told) > 0 && len(s.accepted) > 0 && !slices.Contains(s.accepted, s.told[len(s.told)-1]) {
			w.violated(2, "%s was told %v, the provider accepted %v", number, s.told, s.accepted)
		}
	}
}

// checkRate: no more than 30 calls a second leave for the provider.
func (w *world) checkRate() {
	const most = 30
	sends := w.network.sends
	for i := most; i < len(sends); i++ {
		if d := sends[i].Sub(sends[i-most]); d < time.Second {
			w.violated(4, "%d calls within %v, at %v", most+1, d, sends[i].Sub(w.begun))
			return
		}
	}
}

// checkBooks: what the gateway counts is what happened, to the last one.
func (w *world) checkBooks(series map[string]float64) {
	b := &w.book
	b.mu.Lock()
	defer b.mu.Unlock()
	counted := map[string]int{}
	attempts := 0
	for name, value := range series {
		label := func(l string) string {
			_, rest, _ := strings.Cut(name, " "+l+"=")
			for _, end := range []string{" source=", " status=", " operation=", " outcome="} {
				rest, _, _ = strings.Cut(rest, end)
			}
			return rest
		}
		switch {
		case strings.HasPrefix(name, "verify_requests_total "):
			if value > 0 {
				counted[label("operation")+" "+label("status")] += int(value)
			}
		case strings.HasPrefix(name, "verify_upstream_requests_total ") && label("outcome") != "rejected_open":
			attempts += int(value)
		}
	}
	for _, all := range []map[string]int{counted, b.byStatus} {
		for what := range all {
			if counted[what] != b.byStatus[what] {
				w.violated(5, "%d answers %q are counted, %d were given", counted[what], what, b.byStatus[what])
			}
		}
	}
	if attempts != len(w.network.sends) {
		w.violated(5, "%d upstream requests are counted, %d were made", attempts, len(w.network.sends))
	}
	if b.started != len(b.whole) {
		w.violated(5, "%d verifications have started by the ledger, %d by the answers that came back", b.started, len(b.whole))
	}
	if b.finished["success"] > b.success {
		w.violated(5, "%d verifications have succeeded by the ledger, %d by the provider", b.finished["success"], b.success)
	}
	ended := 0
	for _, n := range b.finished {
		ended += n
	}
	under := series["verify_verifications_under_way"] + series["verify_verifications_unsettled"]
	if b.started != ended || under != 0 {
		w.violated(5, "%d verifications have started, %d have ended and %v are left", b.started, ended, under)
	}
}

// checkSecrets: no secret, number or code is anywhere but in answers.
func (w *world) checkSecrets(series map[string]float64) {
	var names strings.Builder
	for name := range series {
		names.WriteString(name + "\n")
	}
	canaries := []string{apiSecret, rightCode, wrongCode}
	for number := range w.book.byNumber {
		canaries = append(canaries, number)
	}
	for where, text := range map[string]string{"the log": w.log.text.String(), "the metrics": names.String()} {
		for _, canary := range canaries {
			if at := strings.Index(text, canary); at >= 0 {
				w.violated(6, "%s has %q: …%s…", where, canary, text[max(0, at-200):min(len(text), at+50)])
			}
		}
	}
}

// checkBounds: nothing is left waiting, and no more is kept than there was.
func (w *world) checkBounds(s *gateway.Snapshot) {
	if s.Limit.Waiting != 0 || w.running.Count() != 0 {
		w.violated(7, "%d calls wait and %d are under way for ever", s.Limit.Waiting, w.running.Count())
	}
	for _, circuit := range s.Circuits {
		if circuit.State != wire.CircuitClosed {
			w.violated(9, "the circuit %s is still %s", circuit.Class, circuit.State)
		}
	}
	if len(s.Suspended) > 0 {
		w.violated(9, "the account is still suspended for %v", s.Suspended)
	}
	if s.Cache.Entries > 3*2*users || s.Cache.Entries < 0 || s.Cache.Bytes < 0 {
		w.violated(7, "the cache holds %d entries, %d bytes", s.Cache.Entries, s.Cache.Bytes)
	}
}
