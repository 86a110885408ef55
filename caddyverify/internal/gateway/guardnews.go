package gateway

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// The kinds of news. Others are of a later version, and left alone.
const (
	newsStart = "start"
	newsEnd   = "end"
	newsCost  = "cost"
	newsBlock = "block"
	newsLift  = "lift"
)

// news is what a gateway tells the others of its guard. It is sealed on its way.
type news struct {
	Kind string     `json:"k"`
	By   store.Mark `json:"b"`
	// Seq grows with each that By tells.
	Seq uint64 `json:"q"`
	// Waited is how long it waited to be told.
	Waited time.Duration `json:"w,omitempty"`

	// Of a verification.
	ID       string        `json:"i,omitempty"`
	Number   string        `json:"n,omitempty"`
	Country  string        `json:"c,omitempty"`
	Caller   string        `json:"a,omitempty"`
	Address  string        `json:"d,omitempty"`
	Expiry   time.Duration `json:"e,omitempty"`
	Life     time.Duration `json:"l,omitempty"`
	Found    []string      `json:"r,omitempty"` // rules that would have refused it
	Outcome  wire.Outcome  `json:"o,omitempty"`
	Cost     *guard.Money  `json:"m,omitempty"`
	Messages int           `json:"s,omitempty"`
	Final    bool          `json:"f,omitempty"` // of Cost

	Block *blockNews `json:"p,omitempty"`

	at time.Time // when it became known
}

// blockNews is a block, or the place of one that was lifted.
type blockNews struct {
	Rule     string        `json:"r,omitempty"`
	Caller   string        `json:"a,omitempty"`
	Everyone bool          `json:"e,omitempty"`
	Target   string        `json:"t"`
	Count    int           `json:"n,omitempty"`
	Verified int           `json:"v,omitempty"`
	Most     int           `json:"m,omitempty"`
	Window   time.Duration `json:"w,omitempty"`
	Left     time.Duration `json:"l,omitempty"`
	Age      time.Duration `json:"g,omitempty"`
	Times    int           `json:"x,omitempty"`
}

func (n news) encode() []byte {
	n.Waited = time.Since(n.at)
	text, _ := json.Marshal(n) // it has nothing that could not be written
	return text
}

func decodeNews(text []byte) (n news, ok bool) {
	err := json.Unmarshal(text, &n)
	return n, err == nil && n.By != ""
}

func blockOf(b guard.Block) *blockNews {
	f := &b.Finding
	return &blockNews{
		Rule: f.Rule.String(), Caller: b.Caller, Everyone: b.Everyone, Target: b.Target,
		Count: f.Count, Verified: f.Verified, Most: f.Most, Window: f.Window, Left: f.Left, Age: b.Age, Times: b.Times,
	}
}

func namesOf(found []guard.Finding) (names []string) {
	for i := range found {
		names = append(names, found[i].Rule.String())
	}
	return names
}

// rulesOf leaves out those of a later version.
func rulesOf(names []string) (found []guard.Rule) {
	for _, rule := range guard.Rules() {
		if slices.Contains(names, rule.String()) {
			found = append(found, rule)
		}
	}
	return found
}

// block returns it as it is some time after it was told; false for what nobody knows.
func (n *blockNews) block(ago time.Duration) (b guard.Block, ok bool) {
	if n == nil {
		return b, false
	}
	b = guard.Block{
		Place: guard.Place{Caller: n.Caller, Everyone: n.Everyone, Target: n.Target},
		Finding: guard.Finding{
			Target: n.Target, Count: n.Count, Verified: n.Verified, Most: n.Most, Window: n.Window, Left: n.Left - ago,
		},
		Age: n.Age + ago, Times: n.Times,
	}
	for _, rule := range guard.Rules() {
		if rule.String() == n.Rule {
			b.Finding.Rule = rule
			return b, true
		}
	}
	return b, false
}
