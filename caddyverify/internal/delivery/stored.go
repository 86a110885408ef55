package delivery

import (
	"encoding/json"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// use says for whom an answer lies in the store.
type use byte

const (
	// passed: for those who waited. Who comes later starts anew.
	passed use = iota
	// fresh: for those who waited, and it is not known yet whether a client got it. Who comes
	// later takes it.
	fresh
	// unread: no client got it. Whoever wants it takes it.
	unread
)

// storedVersion is the first byte of what lies in the store. What has another is not read.
const storedVersion = 1

// stored is an answer as it lies in the store.
type stored struct {
	Use use `json:"use"`
	// Mark is that of the claim by what repeats the call, so that another gateway may say
	// that its client got the answer.
	Mark        store.Mark  `json:"mark,omitempty"`
	Code        int         `json:"code,omitempty"`
	ContentType string      `json:"type,omitempty"`
	Body        []byte      `json:"body,omitempty"`
	RequestID   string      `json:"id,omitempty"`
	Status      wire.Status `json:"status"`
	Fault       *wire.Fault `json:"fault,omitempty"`
	Unsure      bool        `json:"unsure,omitempty"`
}

// encode writes an answer as it is kept: see essence.
func encode(a *wire.Answer, u use, m store.Mark) []byte {
	text, err := json.Marshal(stored{u, m, a.Code, a.ContentType, a.Body, a.RequestID, a.Status, a.Fault, a.Unsure})
	if err != nil {
		return nil // which none can be, without a Fault.Err
	}
	return append([]byte{storedVersion}, text...)
}

// decode reads what encode wrote, and reports false for anything else.
func decode(v []byte) (a wire.Answer, u use, m store.Mark, ok bool) {
	var s stored
	if len(v) == 0 || v[0] != storedVersion || json.Unmarshal(v[1:], &s) != nil || s.Use > unread {
		return a, 0, "", false
	}
	a = wire.Answer{Code: s.Code, ContentType: s.ContentType, Body: s.Body, Fault: s.Fault, Unsure: s.Unsure}
	a.RequestID, a.Status = s.RequestID, s.Status
	return a, s.Use, s.Mark, true
}
