//go:build e2e

package e2e

import (
	"math"
	"strconv"
	"strings"
	"sync"
	"time"
)

// exchange is one call of a client and what it read.
type exchange struct {
	at            time.Time
	trace, parent string // of the client's own span
	method        string
	operation     string
	ids           []string // the verifications asked about
	list          bool
	country       string // where a request goes to
	answer        said
	source        string // upstream, cache or gateway
	cause         string // why the gateway answered by itself
	cache         string // what memory had for a search
	delivered     string // where the answer to a call that is made once came from
	replay        bool   // the Idempotency-Key was used before
}

// status is the label of metrics.
func (x *exchange) status() string {
	if len(x.answer.List) > 0 {
		return "list"
	}
	return x.answer.Status
}

// said is what an application reads of an answer.
type said struct {
	RequestID string `json:"request_id" xml:"request_id"`
	Status    string `json:"status" xml:"status"`
	Price     string `json:"price" xml:"price"`
	Currency  string `json:"currency" xml:"currency"`
	Messages  string `json:"estimated_price_messages_sent" xml:"estimated_price_messages_sent"`
	List      []said `json:"verification_requests" xml:"verify_request"`
}

// verification is one that the script has started, as far as its books know.
type verification struct {
	id, country, workflow string
	origin                string // the trace of its request
	outcome               string // empty until it ended
	checked               bool   // it ended by a check that said 0
	tries                 int
	fee, messages         int64 // in hundred-thousandths of a EUR
}

// books are what the clients know by themselves of what went on.
type books struct {
	mu            sync.Mutex
	exchanges     []*exchange
	verifications map[string]*verification
	untracked     map[string]float64 // ends of verifications that nobody was told had started
}

func newBooks() *books {
	return &books{verifications: map[string]*verification{}, untracked: map[string]float64{}}
}

// enter takes in what was read.
func (b *books) enter(x *exchange) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.exchanges = append(b.exchanges, x)
	for _, one := range append(x.answer.List, x.answer) {
		id := one.RequestID
		if id == "" && len(x.ids) == 1 {
			id = x.ids[0]
		}
		if v := b.verifications[id]; v != nil && one.Currency == "EUR" {
			v.fee = max(v.fee, money(one.Price))
			v.messages = max(v.messages, money(one.Messages))
		}
	}
	if x.operation == "check" && !x.replay {
		switch v := b.verifications[x.ids[0]]; x.answer.Status {
		case "0", "16", "17":
			if v != nil && v.outcome == "" {
				v.tries++
			}
		}
	}
}

// money reads an amount as hundred-thousandths: no price of the sandbox is finer.
func money(text string) int64 {
	amount, _ := strconv.ParseFloat(text, 64)
	return int64(math.Round(amount * 100_000))
}

func (b *books) started(v *verification) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.verifications[v.id] = v
}

func (b *books) ended(id, outcome string, checked bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v := b.verifications[id]
	v.outcome, v.checked = outcome, checked
}

func (b *books) untrackedEnd(outcome string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.untracked[outcome]++
}

// count sums up over the exchanges. An empty key is not counted.
func (b *books) count(key func(*exchange) string) map[string]float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	counts := map[string]float64{}
	for _, x := range b.exchanges {
		if k := key(x); k != "" {
			counts[strings.ReplaceAll(k, "IN PROGRESS", "IN_PROGRESS")]++
		}
	}
	return counts
}

// sum sums up over the verifications. An empty key is not counted.
func (b *books) sum(key func(*verification) (string, float64)) map[string]float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	sums := map[string]float64{}
	for _, v := range b.verifications {
		if k, n := key(v); k != "" && n != 0 {
			sums[k] += n
		}
	}
	return sums
}
