// Package live shows the gateway as it is: the page, and the streams of server-sent
// events that it and the admin API have.
package live

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/status"
)

const (
	// maxBehind is how many events a client may be behind before it misses some: calls do
	// not wait for who reads too slowly.
	maxBehind = 1000
	// beatEvery is how often something is sent, so that what is between the two does not
	// take the connection for dead.
	beatEvery = 15 * time.Second
)

// ServeEvents tells what an operator should know of, as server-sent events: first what the
// accounts remember, then what happens, until the client leaves or done is closed. Where
// there are too many such streams it returns ErrTooMany, and has written nothing.
func ServeEvents(w http.ResponseWriter, r *http.Request, done <-chan struct{}, accounts []*gateway.Account) error {
	if err := ofEvents.enter(); err != nil {
		return err
	}
	defer ofEvents.leave()
	feed := newFeed(accounts)
	defer feed.stop()
	out := newStream(w)
	if r.Method == http.MethodHead { // has no end to wait for
		return nil
	}
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for _, event := range feed.past {
		out.send("", event)
	}
	for out.flush() {
		select {
		case event := <-feed.events:
			if !feed.past.has(event) {
				out.send("", event)
			}
		case <-beat.C:
			out.comment()
		case <-r.Context().Done():
			return nil
		case <-done:
			return nil
		}
	}
	return nil
}

// feed has the notable events of accounts.
type feed struct {
	past   past
	events chan status.Event // those since, and perhaps some of the past
	stops  []func()
}

// past is the events that are known when a feed begins, the oldest first.
type past []status.Event

// has tells whether an event is among them. Only those about the feed's beginning can be.
func (p past) has(event status.Event) bool {
	for _, other := range slices.Backward(p) {
		if other == event {
			return true
		}
		if event.Time.Sub(other.Time) > time.Minute {
			break
		}
	}
	return false
}

func newFeed(accounts []*gateway.Account) *feed {
	f := &feed{events: make(chan status.Event, maxBehind)}
	for _, account := range accounts {
		f.stops = append(f.stops, account.Subscribe(func(e gateway.Event) {
			if event, ok := status.EventOf(e); ok {
				select {
				case f.events <- event:
				default:
				}
			}
		}))
		for _, e := range account.Notices() {
			if event, ok := status.EventOf(e); ok {
				f.past = append(f.past, event)
			}
		}
	}
	slices.SortStableFunc(f.past, func(a, b status.Event) int { return a.Time.Compare(b.Time) })
	return f
}

func (f *feed) stop() {
	for _, stop := range f.stops {
		stop()
	}
}

// stream writes server-sent events.
// https://html.spec.whatwg.org/multipage/server-sent-events.html
type stream struct {
	w   http.ResponseWriter
	to  *http.ResponseController
	err error
}

func newStream(w http.ResponseWriter) *stream {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // of nginx, should it be between
	return &stream{w: w, to: http.NewResponseController(w)}
}

// send writes an event. A name of "" is that of all events that have none.
func (s *stream) send(name string, document any) {
	data, err := json.Marshal(document)
	if err != nil {
		s.err = err
		return
	}
	if name != "" {
		name = "event: " + name + "\n"
	}
	s.write(name + "data: " + string(data) + "\n\n")
}

func (s *stream) comment() { s.write(":\n\n") }

func (s *stream) write(text string) {
	if s.err == nil {
		_, s.err = fmt.Fprint(s.w, text)
	}
}

// flush sends what was written, and tells whether the client is still there. A server's
// write timeout is for answers that have an end.
func (s *stream) flush() bool {
	if s.err == nil {
		_ = s.to.SetWriteDeadline(time.Now().Add(2 * beatEvery)) // where the server can
		s.err = s.to.Flush()
	}
	return s.err == nil
}
