package sandbox

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"
)

const (
	webhookTimeout  = 10 * time.Second // of one delivery, in real time
	webhookAgain    = 10 * time.Second // after a delivery that was not accepted
	maxSentWebhooks = 1_000            // that are kept for Sandbox.Webhooks
)

// Webhook is one delivery that the sandbox has made, or kept back because a fault says so.
type Webhook struct {
	Time       time.Time // in real time
	RequestID  string
	Type       string // event or summary
	Status     string // what it tells
	Again      bool   // the same was delivered before, and not accepted
	Fault      string // as in Call.Fault
	HTTPStatus int    // that came back; 0 for none
	Body       []byte // must not be changed
}

// webhooks are what is to be told of verifications, and to whom. A goroutine delivers
// them, one after another; it runs while a verification goes on of which to tell, or
// something is left to be delivered. Its account's mu guards all of it.
type webhooks struct {
	open    []*Sandbox // those that have a Config.Webhook; that of the last is told
	steps   stepHeap   // when verifications go on by themselves
	pending []delivery // what is to be delivered, first what is due first
	sent    []Webhook  // the latest
	// Counted for what only some of them have.
	told, summaries int

	// realTime is of a moment by the sandbox's clock. Who receives webhooks compares them with a clock of his own.
	realTime func(time.Time) time.Time

	wake chan struct{} // there is something new; nil while no goroutine runs
	stop context.CancelFunc
	done chan struct{} // closed when the goroutine has ended
}

// delivery is a webhook on its way.
type delivery struct {
	Webhook
	due         time.Time // in real time
	application string
	plan        plan
}

// stepDue is when a verification goes on; it may have gone on before.
type stepDue struct {
	at time.Time
	v  *verification
}

func (s stepDue) past() bool { return s.v.state != inProgress || !s.v.next.Equal(s.at) }

type stepHeap []stepDue

func (h stepHeap) Len() int           { return len(h) }
func (h stepHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h stepHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *stepHeap) Push(x any)        { *h = append(*h, x.(stepDue)) }
func (h *stepHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = stepDue{}
	*h = (*h)[:last]
	return x
}

// Close ends the delivery of webhooks by this Sandbox: with the last of an account, what
// was not delivered is given up. It needs to be called only where Config.Webhook is set.
func (s *Sandbox) Close() error {
	s.mu.Lock()
	w := &s.webhooks
	w.open = slices.DeleteFunc(w.open, func(other *Sandbox) bool { return other == s })
	var done chan struct{}
	if len(w.open) == 0 && w.wake != nil {
		w.stop()
		done = w.done
	}
	s.mu.Unlock()
	if done != nil {
		<-done
	}
	return nil
}

// Webhooks returns the latest deliveries, oldest first; no more than 1,000.
func (s *Sandbox) Webhooks() []Webhook {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.webhooks.sent)
}

// reset forgets all that was to be told, and what was.
func (w *webhooks) reset() {
	w.steps, w.pending, w.sent, w.told, w.summaries = nil, nil, nil, 0, 0
}

// watch begins to tell of a verification. The caller holds mu.
func (w *webhooks) watch(v *verification) {
	if len(w.open) == 0 {
		return
	}
	v.webhooks = w
	w.goesOn(v)
	if v.steps[0].kind == "silent_auth" {
		w.queue(v, w.actionPending(v))
	}
}

// goesOn notes when a verification will go on. The caller holds mu, as those of all
// below do; w is nil if the verification is not told of.
func (w *webhooks) goesOn(v *verification) {
	if w != nil && len(w.open) > 0 {
		heap.Push(&w.steps, stepDue{v.next, v})
	}
}

// stepEnded tells of the latest message of a verification.
func (w *webhooks) stepEnded(v *verification) {
	if e := v.events[len(v.events)-1]; w != nil && e.outcome != "" {
		w.queue(v, w.eventOf(v, e))
	}
}

// ended tells of the end of a verification; of a cancellation nothing is told.
func (w *webhooks) ended(v *verification) {
	if w != nil && v.state != cancelled {
		w.queue(v, w.summaryOf(v))
	}
}

// queue takes a webhook through the faults.
func (w *webhooks) queue(v *verification, m message) {
	if len(w.open) == 0 {
		return
	}
	w.told++
	to := w.open[len(w.open)-1]
	d := delivery{application: v.application, plan: planFor(to.faults, call{operation: webhookOperation})}
	d.Webhook = Webhook{RequestID: v.id, Type: m.Type, Status: m.Status, Fault: d.plan.String(), Body: m.encode()}
	d.due = time.Now().Add(d.plan.delay)
	w.add(d)
}

// add puts a delivery behind those that are due before it, or at the same time.
func (w *webhooks) add(d delivery) {
	i := len(w.pending)
	for i > 0 && w.pending[i-1].due.After(d.due) {
		i--
	}
	w.pending = slices.Insert(w.pending, i, d)
}

// idle says that nothing is left to do, once what has gone on before is out of the way.
func (w *webhooks) idle() bool {
	for len(w.steps) > 0 && w.steps[0].past() {
		heap.Pop(&w.steps)
	}
	return len(w.open) == 0 || len(w.steps) == 0 && len(w.pending) == 0
}

// stir has the goroutine look again, and starts it if there is need of it.
func (a *account) stir() {
	w := &a.webhooks
	switch {
	case w.wake != nil:
		select {
		case w.wake <- struct{}{}:
		default:
		}
	case !w.idle():
		var ctx context.Context
		ctx, w.stop = context.WithCancel(context.Background())
		w.wake, w.done = make(chan struct{}, 1), make(chan struct{})
		go a.deliver(ctx, w.wake, w.done)
	}
}

// deliver makes what is due go on, and delivers, until nothing is left to do.
func (a *account) deliver(ctx context.Context, wake, done chan struct{}) {
	defer close(done)
	for {
		d, to, wait, ended := a.nextDelivery(ctx)
		switch {
		case ended:
			return
		case to != nil:
			a.send(ctx, to, d)
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-wake:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// nextDelivery is what is to be delivered now, and by whom, or how long to wait.
func (a *account) nextDelivery(ctx context.Context) (d delivery, to *Sandbox, wait time.Duration, ended bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := &a.webhooks
	now := a.clock.now()
	for len(w.steps) > 0 && !w.steps[0].at.After(now) {
		heap.Pop(&w.steps).(stepDue).v.advance(now)
	}
	if w.idle() || ctx.Err() != nil {
		w.stop()
		w.wake, w.steps, w.pending = nil, nil, nil
		return d, nil, 0, true
	}
	wait = time.Hour
	if len(w.steps) > 0 {
		wait = min(wait, a.clock.until(w.steps[0].at))
	}
	if len(w.pending) > 0 {
		d = w.pending[0]
		if due := time.Until(d.due); due > 0 {
			wait = min(wait, due)
		} else {
			w.pending = slices.Delete(w.pending, 0, 1)
			to = w.open[len(w.open)-1]
		}
	}
	return d, to, wait, false
}

// send delivers a webhook, as its fault says, and once more later if it is not accepted.
func (a *account) send(ctx context.Context, to *Sandbox, d delivery) {
	kind := ""
	if d.plan.fault != nil {
		kind = d.plan.fault.Kind
	}
	d.Time = time.Now()
	if kind != "lose" {
		d.HTTPStatus = to.post(ctx, d, kind)
	}
	if ctx.Err() != nil {
		return
	}
	a.mu.Lock()
	w := &a.webhooks
	w.sent = append(w.sent, d.Webhook)
	w.sent = w.sent[max(0, len(w.sent)-maxSentWebhooks):]
	if accepted := d.HTTPStatus/100 == 2; !accepted && !d.Again && kind != "lose" && kind != "forge" {
		again := d
		again.Again, again.Fault, again.plan = true, "", plan{}
		again.due = time.Now().Add(a.clock.span(webhookAgain))
		w.add(again)
	}
	a.mu.Unlock()
	to.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "sandbox webhook",
		slog.String("type", d.Type), slog.String("status", d.Status), slog.Int("http_status", d.HTTPStatus), slog.String("fault", d.Fault))
}

// post gives the HTTP status of the answer, 0 for none.
func (s *Sandbox) post(ctx context.Context, d delivery, kind string) (status int) {
	ctx, cancel := context.WithTimeout(ctx, webhookTimeout)
	defer cancel()
	secret := s.cfg.SignatureSecret
	if kind == "forge" {
		secret = "forged " + secret
	}
	token := signHS256(secret, d.Body, s.cfg.APIKey, d.application)
	times := 1
	if kind == "double" {
		times = 2
	}
	for range times {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.Webhook, bytes.NewReader(d.Body))
		if err != nil {
			return 0
		}
		r.Header.Set("Content-Type", "application/json")
		if kind != "unsigned" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := cmp.Or(s.cfg.Transport, http.DefaultTransport).RoundTrip(r)
		if err != nil {
			return 0
		}
		_, _ = io.CopyN(io.Discard, resp.Body, maxBody) // for the next to use the connection
		_ = resp.Body.Close()
		status = resp.StatusCode
	}
	return status
}
