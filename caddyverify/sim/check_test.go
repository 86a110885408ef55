package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// check looks at all that has happened at a process, when all is over there.
func (p *process) check() {
	series := p.scrape()
	p.checkBooks(series)
	p.checkSecrets(series)
	p.checkTokens()
	for _, u := range p.uplinks {
		u.checkRate()
	}
	for _, account := range p.accounts {
		s := account.Snapshot()
		p.checkBounds(&s)
	}
}

// checkCalm looks at a process that has had time to recover.
func (p *process) checkCalm() {
	for _, account := range p.accounts {
		s := account.Snapshot()
		for _, circuit := range s.Circuits {
			if circuit.State != wire.CircuitClosed {
				p.violated(9, "the circuit %s is still %s", circuit.Class, circuit.State)
			}
		}
		// Where another account stands in, nobody need have tried this one again.
		if len(s.Troubles) > 0 && !p.failover {
			p.violated(9, "the account is still suspended for %v", s.Troubles)
		}
	}
}

// checkEnd looks at a process whose ledgers have had time to give up what nobody asked
// about, when all is over there.
func (p *process) checkEnd() {
	p.check()
	p.checkReserved()
	series := p.scrape()
	if left := series["verify_verifications_under_way"] + series["verify_verifications_unsettled"]; left != 0 {
		p.violated(5, "%v verifications are left", left)
	}
}

// checkDeliveries: the provider acted at most once for a logical start, and no accepted
// one is lost.
func (w *world) checkDeliveries() {
	b := &w.book
	b.mu.Lock()
	defer b.mu.Unlock()
	told := map[string]string{}
	for number, s := range b.byNumber {
		if w.atATime(s) > 1 && !w.second.spans(s.began, s.last) && (!w.failover || len(s.by) == 1) {
			w.violated(1, "the provider accepted %d verifications for %s", len(s.accepted), number)
		}
		if s.sent > s.attempts+1 { // the last one may be under way still when the user gives up
			w.violated(1, "%s was sent %d times for %d attempts", number, s.sent, s.attempts)
		}
		if s.key != "" && s.sent > 1+s.unsent+s.rivals && len(s.by) == 1 {
			w.violated(1, "%s has an Idempotency-Key and was sent %d times, of which %d may be", number, s.sent, 1+s.unsent+s.rivals)
		}
		w.checkKey(s)
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

// checkShares: a flood of one application's costs others next to nothing.
func (w *world) checkShares() {
	b := &w.book
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refused > 2+b.modest/10 {
		w.violated(8, "of %d calls of applications that make few, %d were refused for others' floods", b.modest, b.refused)
	}
}

// checkRate: no more than 30 calls a second leave for the provider.
func (u *uplink) checkRate() {
	const most = 30
	p := u.process
	u.mu.Lock()
	defer u.mu.Unlock()
	slices.SortFunc(u.sends, time.Time.Compare)
	sends := u.sends
	for i := most; i < len(sends); i++ {
		if d := sends[i].Sub(sends[i-most]); d < time.Second {
			p.violated(4, "%d calls within %v, at %v", most+1, d, sends[i].Sub(p.begun))
			return
		}
	}
	// As soon as the provider finds them too many, it gets half of them.
	const fewer = most/2 + 1
	for _, at := range u.throttled {
		reloaded := func(t time.Time) bool { return t.Sub(at).Abs() <= time.Second } // to another rate, perhaps
		n := 0
		for _, t := range sends {
			if t.After(at) && t.Sub(at) <= time.Second {
				n++
			}
		}
		if n > fewer && !slices.ContainsFunc(p.reloads, reloaded) {
			p.violated(4, "%d calls in the second after the provider found them too many, at %v", n, at.Sub(p.begun))
			return
		}
	}
}

// checkBooks: what the gateway counts is what happened, to the last one.
func (p *process) checkBooks(series map[string]float64) {
	b := &p.tally
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
				p.violated(5, "%d answers %q are counted, %d were given", counted[what], what, b.byStatus[what])
			}
		}
	}
	sends, resends := 0, 0
	for _, u := range p.uplinks {
		sends += len(u.sends)
		resends += u.resends
	}
	if p.second == nil {
		resends = 0
	}
	if attempts > sends || attempts < sends-resends {
		p.violated(5, "%d upstream requests are counted, %d were made", attempts, sends)
	}
	if b.started != b.whole {
		p.violated(5, "%d verifications have started by the ledger, %d by the answers that came back", b.started, b.whole)
	}
	told := 0.0
	for _, known := range p.second.mergePrices(b.prices) {
		told += known[0] + known[1]
	}
	if b.cost > told+1e-6 {
		p.violated(5, "%v has been spent by the ledger, %v by the provider", b.cost, told)
	}
	if p.stores != nil {
		return // the rest is right for all gateways together
	}
	if b.finished["success"] > b.success && (p.second == nil || !p.second.hooks) {
		p.violated(5, "%d verifications have succeeded by the ledger, %d by the provider", b.finished["success"], b.success)
	}
	ended := 0
	for _, n := range b.finished {
		ended += n
	}
	if b.estimates > ended {
		p.violated(5, "%d verifications have ended, the cost of %d is estimated", ended, b.estimates)
	}
	under := series["verify_verifications_under_way"] + series["verify_verifications_unsettled"]
	if b.started != ended+int(under) {
		p.violated(5, "%d verifications have started, %d have ended and %v are under way", b.started, ended, under)
	}
}

// checkSecrets: no secret, number or code is anywhere but in answers.
func (p *process) checkSecrets(series map[string]float64) {
	var names strings.Builder
	for name := range series {
		names.WriteString(name + "\n")
	}
	canaries := []string{apiSecret, rightCode, wrongCode, tokenCanary, signatureSecret}
	p.book.mu.Lock()
	defer p.book.mu.Unlock()
	for number := range p.book.byNumber {
		canaries = append(canaries, number)
	}
	var spans strings.Builder
	for _, span := range p.spans.GetSpans() {
		fmt.Fprintln(&spans, span.Name, span.Attributes, span.Events, span.Links, span.Status)
	}
	for where, text := range map[string]string{
		"a span":  spans.String(),
		"the log": p.log.String(), "the metrics": names.String(),
	} {
		for _, canary := range canaries {
			if at := strings.Index(text, canary); at >= 0 {
				p.violated(6, "%s has %q: …%s…", where, canary, text[max(0, at-200):min(len(text), at+50)])
			}
		}
	}
}

// checkBounds: nothing is left waiting, and no more is kept than there was.
func (p *process) checkBounds(s *gateway.Snapshot) {
	if s.Limit.Waiting != 0 || p.running.Count() != 0 {
		p.violated(7, "%d calls wait and %d are under way for ever", s.Limit.Waiting, p.running.Count())
	}
	if s.Cache.Entries > 3*2*(users+80) || s.Cache.Entries < 0 || s.Cache.Bytes < 0 {
		p.violated(7, "the cache holds %d entries, %d bytes", s.Cache.Entries, s.Cache.Bytes)
	}
}
