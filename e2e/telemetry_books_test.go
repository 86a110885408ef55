//go:build e2e

package e2e

import (
	"encoding/json"
	"encoding/xml"
	"math"
	"net/http"
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
}

// cost is in hundred-thousandths of a EUR.
type cost struct{ fee, messages int64 }

// books are what the clients know by themselves of what went on.
type books struct {
	mu            sync.Mutex
	exchanges     []*exchange
	verifications map[string]*verification
	costs         map[string]cost    // by request_id, also of those that are none of the verifications
	untracked     map[string]float64 // ends of verifications that nobody was told had started
}

func newBooks() *books {
	return &books{verifications: map[string]*verification{}, costs: map[string]cost{}, untracked: map[string]float64{}}
}

// enter takes in what was read.
func (b *books) enter(x *exchange) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.exchanges = append(b.exchanges, x)
	b.price(x.ids, &x.answer)
	if x.operation == "check" && !x.replay {
		switch v := b.verifications[x.ids[0]]; x.answer.Status {
		case "0", "16", "17":
			if v != nil && v.outcome == "" {
				v.tries++
			}
		}
	}
}

// price takes in what an answer says of costs. The caller holds the lock.
func (b *books) price(ids []string, answer *said) {
	for _, one := range append(answer.List, *answer) {
		id := one.RequestID
		if id == "" && len(ids) == 1 {
			id = ids[0]
		}
		if one.Currency != "EUR" {
			continue
		}
		known := b.costs[id]
		b.costs[id] = cost{fee: max(known.fee, money(one.Price)), messages: max(known.messages, money(one.Messages))}
	}
}

// overhear takes in what the provider tells the gateway of costs: in a list it tells of verifications that no client has
// asked about.
func (b *books) overhear(provider http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		copied := &copier{ResponseWriter: w}
		provider.ServeHTTP(copied, r) // it panics where the connection is lost
		var answer said
		if json.Unmarshal(copied.body, &answer) != nil && xml.Unmarshal(copied.body, &answer) != nil {
			return // no answer
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.price(nil, &answer)
	})
}

// copier keeps what is written.
type copier struct {
	http.ResponseWriter
	body []byte
}

func (c *copier) Write(p []byte) (int, error) {
	c.body = append(c.body, p...)
	return c.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (c *copier) Unwrap() http.ResponseWriter { return c.ResponseWriter }

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

// costsMessages notes what messages are known to cost.
func (b *books) costsMessages(id string, messages int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.costs[id] = cost{fee: b.costs[id].fee, messages: messages}
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
