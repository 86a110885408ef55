package sim

import (
	"bytes"
	"context"
	"errors"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/webhook"
)

// hookRoad is the way of webhooks to whichever gateway they come to. They get lost there, come twice,
// late, and in another order.
type hookRoad struct {
	world   *world
	account int
}

var errNobody = errors.New("nobody listens")

// RoundTrip implements http.RoundTripper.
func (h *hookRoad) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	sum := fnv.New64a()
	_, _ = sum.Write(body)
	luck := rand.New(rand.NewPCG(sum.Sum64()^h.world.seed, uint64(time.Since(h.world.begun))))
	w, header := h.world, r.Header
	time.Sleep(time.Duration(1+luck.IntN(50_000_000)) * time.Nanosecond)
	slots := []int{luck.IntN(len(w.slots))}
	code := http.StatusNoContent
	switch luck.IntN(10) {
	case 0:
		w.note("a webhook is lost: %s", body)
		return answered(code), nil
	case 1:
		return nil, errNobody
	case 2:
		slots = append(slots, luck.IntN(len(w.slots)), slots[0])
	case 3, 4:
		late := time.Duration(luck.Int64N(int64(90 * time.Second)))
		w.book.calls.Go(func() {
			time.Sleep(late)
			h.bring(slots[0], body, header)
		})
		return answered(code), nil
	}
	for _, slot := range slots {
		if code = h.bring(slot, body, header); code == 0 {
			return nil, errNobody
		}
	}
	if luck.IntN(8) == 0 {
		h.alien(slots[0], luck)
	}
	return answered(code), nil
}

func answered(code int) *http.Response {
	return &http.Response{StatusCode: code, Body: http.NoBody}
}

// bring brings a webhook to a gateway, and returns 0 where there is none.
func (h *hookRoad) bring(slot int, body []byte, header http.Header) (code int) {
	w := h.world
	w.mu.Lock()
	p := w.slots[slot]
	w.mu.Unlock()
	if p == nil || !w.second.at() {
		return 0
	}
	p.calls.Add(1)
	defer p.calls.Done()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "/", bytes.NewReader(body))
	if err != nil {
		return 0
	}
	r.Header = header
	got, err := p.verifiers[h.account].Receive(r)
	if err == nil {
		took := p.tell(h.account, got.Event)
		p.verifiers[h.account].Settle(got, took)
		if !took {
			return http.StatusServiceUnavailable
		}
	}
	w.note("a webhook comes to %d of %d: %s: %v", h.account, p.number, body, err)
	return webhook.Code(err)
}

// alien tells a gateway of a verification that nobody here has started.
func (h *hookRoad) alien(slot int, luck *rand.Rand) {
	w := h.world
	w.mu.Lock()
	p := w.slots[slot]
	w.mu.Unlock()
	if p == nil || !w.second.at() {
		return
	}
	id := strings.Repeat(strconv.FormatUint(luck.Uint64()|1<<63, 16), 2)
	p.tell(h.account, state.Event{ID: id, Type: "summary", Status: "completed", At: time.Now()})
	w.second.mu.Lock()
	w.second.alien = append(w.second.alien, id)
	w.second.mu.Unlock()
}

// tell tells the gateway in force.
func (p *process) tell(account int, e state.Event) (sure bool) {
	p.mu.Lock()
	g := p.gateways[account]
	p.mu.Unlock()
	id := strings.ReplaceAll(e.ID, "-", "")
	s := p.second
	s.mu.Lock()
	price, _ := strconv.ParseFloat(e.Price, 64) // none is 0
	s.prices[id] = prices{max(s.prices[id][0], price), 0}
	s.mu.Unlock()
	known, sure := g.Told(context.Background(), e)
	if !sure { // it comes again
		return false
	}
	if v, ok := p.verification(id); known && ok && e.Type == "summary" && !p.dead() {
		s.mu.Lock()
		s.told[id] = append(s.told[id], hook{v.Status, p, time.Now()})
		s.mu.Unlock()
	}
	return true
}
