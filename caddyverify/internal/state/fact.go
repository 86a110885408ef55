package state

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Start is how a verification began.
type Start struct {
	Number  string `json:"n,omitempty"`
	Sender  string `json:"f,omitempty"`
	Account string `json:"a,omitempty"`
	// Caller is who started it; "" where that is not known: earlier versions did not say.
	Caller string `json:"u,omitempty"`
	// Channels are those of its steps, in v1's words: sms and tts.
	Channels []string `json:"c,omitempty"`
	// Numbers are those of its steps, "" for an e-mail address; none where all go to Number.
	Numbers []string `json:"m,omitempty"`
	// Wait is how long each step lasts. Default: 5m.
	Wait time.Duration `json:"w,omitempty"`
	// Took is how long the request took.
	Took time.Duration `json:"o,omitempty"`
}

// Event is what a webhook tells.
type Event struct {
	// ID is the request_id, as it was spelled.
	ID string `json:"-"`
	// Type is event, of one step, or summary, of the whole verification.
	Type string `json:"y,omitempty"`
	// Channel is that of an event, in v2's words.
	Channel string `json:"c,omitempty"`
	// Status is v2's word. Those that nobody knows say nothing, as do such types.
	Status string `json:"s,omitempty"`
	// At is when it came to that, by the provider's clock; zero where it is not told.
	At time.Time `json:"t,omitzero"`
	// Since is when what it tells of began, by the provider's clock: a step, or the verification. It is
	// zero where it is not told, and not kept.
	Since time.Time `json:"-"`
	// Sent are the messages that it tells of: one of an event, all of a summary.
	Sent []Message `json:"m,omitempty"`
	// Price is all that the verification has cost, a decimal number in EUR; "" where it is not told.
	Price string `json:"p,omitempty"`
	// Network is the mobile network's code (MCCMNC) where it was blocked; "" where it is not told.
	Network string `json:"k,omitempty"`
}

// Message is one that the provider has sent.
type Message struct {
	// Channel is v2's word.
	Channel string `json:"c"`
	// At is when, by the provider's clock; zero where it is not told.
	At time.Time `json:"t,omitzero"`
}

// kind is what a fact is about. Those that nobody knows are of a later version, and left alone.
type kind string

const (
	begun     kind = "start"
	checked   kind = "check"
	ended     kind = "end"   // by what the provider has answered
	triggered kind = "next"  // the next message now
	told      kind = "hook"  // by a webhook
	doubted   kind = "doubt" // a call that may have ended it had no answer
	gone      kind = "gone"  // by the provider it is not under way
)

// fact is one thing that is known of a verification. It does not change.
type fact struct {
	Kind kind `json:"k"`
	// ID is the same for what is the same, wherever it became known.
	ID string `json:"i"`
	// Shown is when it became known, in Unix milliseconds by the clock of who learned it: for
	// people, and to choose one of two. Nothing is reckoned with it.
	Shown int64 `json:"t"`
	// Waited is how long it waited to be told.
	Waited time.Duration `json:"w,omitempty"`

	Start  *Start      `json:"s,omitempty"`
	Valid  bool        `json:"v,omitempty"`
	Status wire.Status `json:"e,omitempty"`
	Event  *Event      `json:"h,omitempty"`
	// Took is how long the call took that made it known.
	Took time.Duration `json:"o,omitempty"`

	at time.Time // when it became known, by the clock here
}

const (
	// maxFacts is how many are kept of a verification; the last of them only for those that may
	// tell how it ended.
	maxFacts, maxOther = 64, 48
	// maxWord bounds what is believed of what others say.
	maxWord = 128
)

// now makes a fact of what has just become known.
func (f fact) now() *fact {
	f.at = time.Now()
	f.Shown = f.at.UnixMilli()
	if f.ID == "" {
		f.ID = string(store.NewMark())
	}
	return &f
}

// of names a webhook by all that it says: one that comes twice is one.
func of(e *Event) string {
	text, _ := json.Marshal(e) // it has nothing that could not be written
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:18])
}

func (f fact) encode() []byte {
	f.Waited = time.Since(f.at)
	text, _ := json.Marshal(f) // it has nothing that could not be written
	return text
}

// decode reads what encode has written, some time after it was told. It is nil for what this version
// does not know.
func decode(text []byte, age time.Duration) *fact {
	f := &fact{}
	if json.Unmarshal(text, f) != nil || f.ID == "" || len(f.ID) > maxWord {
		return nil
	}
	switch {
	case f.Kind == begun && f.Start != nil:
		f.Start.Channels = f.Start.Channels[:min(len(f.Start.Channels), maxSteps)]
		f.Start.Numbers = f.Start.Numbers[:min(len(f.Start.Numbers), maxSteps)]
	case f.Kind == checked, f.Kind == triggered, f.Kind == doubted, f.Kind == gone:
	case f.Kind == ended && f.Status.Final(), f.Kind == told && f.Event != nil:
	default:
		return nil
	}
	f.at = time.Now().Add(-max(0, age) - max(0, f.Waited))
	f.Waited, f.Took = 0, max(0, f.Took)
	return f
}

// decides tells whether it may tell how the verification ended, or when it began.
func (f *fact) decides() bool {
	switch f.Kind {
	case begun, ended:
		return true
	case checked:
		return f.Valid
	case triggered, doubted, gone:
		return false
	case told:
		return f.Event.status() != "" && (f.Event.Type == summaryType || f.Event.status() == wire.Succeeded)
	}
	return false
}

// before orders facts for people, and chooses one of two that say the same.
func (f *fact) before(g *fact) int {
	return cmp.Or(cmp.Compare(f.Shown, g.Shown), cmp.Compare(f.ID, g.ID), f.compareStart(g))
}

func (f *fact) compareStart(g *fact) int {
	if f.Kind != begun || g.Kind != begun {
		return 0
	}
	a, b := f.Start, g.Start
	return cmp.Or(
		cmp.Compare(a.Number, b.Number), cmp.Compare(a.Sender, b.Sender), cmp.Compare(a.Account, b.Account),
		slices.Compare(a.Channels, b.Channels), cmp.Compare(a.Wait, b.Wait), cmp.Compare(a.Took, b.Took),
		cmp.Compare(b.Caller, a.Caller), // who knows nothing of it is the last
	)
}

// The types of webhooks.
const (
	eventType   = "event"
	summaryType = "summary"
)

// strange tells what nobody knows.
func (e *Event) strange() bool { return e.status() == "" && e.Status != "action_pending" }

// status is the verification's where the event is its end; "" where it is none.
func (e *Event) status() wire.Status {
	if e.Type != eventType && e.Type != summaryType {
		return ""
	}
	switch e.Status {
	case "completed":
		return wire.Succeeded
	case "failed", "rejected", "user_rejected", "blocked":
		return wire.Failed
	case "expired":
		return wire.Expired
	}
	return ""
}
