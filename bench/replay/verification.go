package main

import (
	"strings"
	"sync"
	"time"
)

const inProgress = "IN PROGRESS"

// verification is one that an app has begun.
type verification struct {
	id      string
	expires time.Time // if no code is entered

	mu    sync.Mutex
	known known
}

// known is what finished checks and controls have made of a verification: a
// search that begins later must not show less.
type known struct {
	checks int       // codes entered
	final  string    // the state it ended in, "" if it has not
	at     time.Time // when the last of them was answered
}

// learn notes the answer to a check or control.
func (v *verification) learn(checks int, final string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.known.checks += checks
	if final != "" {
		v.known.final = final
	}
	v.known.at = time.Now()
}

func (v *verification) now() known {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.known
}

// state is what a search tells of a verification.
type state struct {
	RequestID string     `json:"request_id"`
	Status    string     `json:"status"`
	ErrorText string     `json:"error_text"`
	Checks    []struct{} `json:"checks"`
}

// refused says that a call was not answered as it should have been. What follows
// a quotation mark or bracket in the provider's text is another each time.
func (s state) refused(operation string) string {
	if s.Status == "" {
		return operation + ": a verification is missing in the answer"
	}
	text := s.ErrorText
	if i := strings.IndexAny(text, "'["); i >= 0 {
		text = text[:i] + "…"
	}
	return operation + ": status " + s.Status + " " + text
}

// stale reports whether a search that began when k was known tells an older state.
func (k known) stale(s state) bool {
	return len(s.Checks) < k.checks || k.final != "" && s.Status != k.final
}
