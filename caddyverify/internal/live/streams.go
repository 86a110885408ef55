package live

import (
	"errors"
	"sync/atomic"
)

// maxStreams is how many streams there may be of a kind. Each takes some 300 KB, and is
// told of each event by the call that brings it about.
const maxStreams = 100

// streams counts those of a kind: who has all of the page's takes none of the admin API's.
type streams struct{ open atomic.Int64 }

var ofPage, ofEvents streams

// ErrTooMany is about a stream that is not begun.
var ErrTooMany = errors.New("there are 100 of these streams already; close some")

// enter takes in one more. Where it does, leave is to be called.
func (s *streams) enter() error {
	if s.open.Add(1) > maxStreams {
		s.leave()
		return ErrTooMany
	}
	return nil
}

func (s *streams) leave() { s.open.Add(-1) }
