// Package record keeps a record of verifications that were started, in which nobody can read
// their numbers, and runs rules of the guard over it.
//
// A record is lines of JSON. One tells of a start, and others what became of it, by the start's
// number in its run. A run is what one Recorder writes: it hides numbers by a key of its own that is
// written nowhere, so whoever has the file cannot try out all numbers. So equal numbers are known
// to be equal within a run only.
package record

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Line is one of a record.
type Line struct {
	At time.Time `json:"at"`
	// Run is by whom, and Start which start of that run it is about, from 1 on.
	Run   string `json:"run"`
	Start uint64 `json:"start"`

	// Of a start. Number, Hundred (which numbers share that are alike but for two digits) and
	// Address are hidden. Prefix lacks the number's last four digits; it is empty for a
	// number of fewer than eight.
	Number  string `json:"number,omitempty"`
	Hundred string `json:"hundred,omitempty"`
	Prefix  string `json:"prefix,omitempty"`
	Country string `json:"country,omitempty"`
	Type    string `json:"type,omitempty"`
	Caller  string `json:"caller,omitempty"`
	Address string `json:"address,omitempty"`
	// Expiry is how long its code can be checked, and Life when nobody tells any more how it
	// ended, in seconds.
	Expiry int `json:"expiry,omitempty"`
	Life   int `json:"life,omitempty"`
	// Messages is how many it may send.
	Messages int `json:"messages,omitempty"`
	// Worst is the most that it can cost, in millionths of Currency.
	Worst    int64  `json:"worst,omitempty"`
	Currency string `json:"currency,omitempty"`
	// Refused is by which rule; Trusted tells that none was asked.
	Refused string `json:"refused,omitempty"`
	Trusted bool   `json:"trusted,omitempty"`

	// Of what became of one. Outcome is how it ended: one of wire.Outcomes, or Withdrawn or Running.
	Outcome string `json:"outcome,omitempty"`
	// Other is the start that was under way, with Running.
	Other uint64 `json:"other,omitempty"`
	// Spent is what it has cost so far, in millionths of Currency.
	Spent *int64 `json:"spent,omitempty"`
}

// Outcomes beside those of package wire.
const (
	// Withdrawn is that of a start that was not sent, or that the provider refused.
	Withdrawn = "withdrawn"
	// Running is that of one that was refused since a verification of the number was under way.
	Running = "running"
)

const (
	hiddenDigits = 4 // of a number, by its Prefix
	nearDigits   = 2 // by its Hundred
	fewestDigits = 8 // of a number that has a Prefix
)

// lineOf is an entry as it is written.
func lineOf(e *guard.Entry, key []byte) (l Line) {
	l.Start = e.Serial
	switch e.Kind {
	case guard.Decided:
		s := &e.Start
		l.Number, l.Hundred = hide(key, "number", s.Number), hide(key, "hundred", s.Number[:max(0, len(s.Number)-nearDigits)])
		if len(s.Number) >= fewestDigits {
			l.Prefix = s.Number[:len(s.Number)-hiddenDigits]
		}
		if s.Address != "" {
			l.Address = hide(key, "address", s.Address)
		}
		l.Country, l.Type, l.Caller, l.Trusted = s.Country, s.Type, s.Caller, e.Trusted
		l.Expiry, l.Life = int(s.Expiry/time.Second), int(s.Life/time.Second)
		l.Messages = s.Messages
		l.Worst, l.Currency = s.Worst.Micro, s.Worst.Currency
		if e.Refused {
			l.Refused = e.Rule.String()
		}
	case guard.Withdrawn:
		l.Outcome = Withdrawn
	case guard.Ran:
		l.Outcome, l.Other = Running, e.Other
	case guard.Finished:
		l.Outcome = string(e.Outcome)
	case guard.Settled:
		l.Spent, l.Currency = &e.Spent.Micro, e.Spent.Currency
	}
	return l
}

// hide returns the same for the same value of a kind, and nothing of it.
func hide(key []byte, kind, value string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(kind + " " + value))
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// check tells what is wrong with a line that was read.
func (l *Line) check() error {
	switch {
	case l.At.IsZero():
		return errors.New(`it has no time as "at"`)
	case l.Run == "" || l.Start == 0:
		return errors.New(`it does not say which start it is about, as "run" and "start"`)
	case l.Number == "" && l.Outcome == "" && l.Spent == nil:
		return errors.New(`it is neither of a start, with a "number", nor of what became of one, with an "outcome" or what was "spent"`)
	case l.Number != "" && (l.Outcome != "" || l.Spent != nil):
		return errors.New(`it is both of a start and of what became of one`)
	case l.Prefix != "" && !digits(l.Prefix):
		return errors.New(`its "prefix" is not 1 to 20 digits`)
	case l.Expiry < 0 || l.Life < 0 || l.Messages < 0 || l.Worst < 0 || l.Spent != nil && *l.Spent < 0:
		return errors.New("it has a figure below 0")
	}
	switch l.Outcome {
	case "", Withdrawn, Running:
		return nil
	}
	for _, o := range wire.Outcomes {
		if l.Outcome == string(o) {
			return nil
		}
	}
	return fmt.Errorf(`its "outcome" is none of %v, %s, %s`, wire.Outcomes, Withdrawn, Running)
}

func digits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(s) <= 20
}
