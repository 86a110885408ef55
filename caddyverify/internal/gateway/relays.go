package gateway

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/relay"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Relays are where callers take webhooks of the verifications that they started, by their names.
type Relays map[string]*relay.Target

// OtherCallers is the name for callers that Relays do not name.
const OtherCallers = "*"

// of is where a caller takes them, nil for nowhere.
func (r Relays) of(caller string) *relay.Target {
	if to, named := r[caller]; named {
		return to
	}
	return r[OtherCallers]
}

// relays pass an account's webhooks on. They survive a reload, like what they have under way.
type relays struct {
	*relay.Sender
	account *Account
	floods  *floods[because[relay.Result]] // of warnings
	last    atomic.Pointer[slog.Logger]    // of those that had one to pass on

	mu    sync.Mutex
	sites []*relaySite // the newest last
}

// relaySite are the Relays of one of an account's handlers of webhooks.
type relaySite struct {
	to Relays
	// of is the configuration that it is of, nil until that is in force.
	of any
}

// add has Relays be known, until they are removed.
func (r *relays) add(to Relays) *relaySite {
	r.mu.Lock()
	defer r.mu.Unlock()
	site := &relaySite{to: to}
	r.sites = append(r.sites, site)
	return site
}

func (r *relays) remove(site *relaySite) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sites = slices.DeleteFunc(r.sites, func(other *relaySite) bool { return other == site })
}

func (r *relays) takeOver(site *relaySite, of any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	site.of = of
}

// now is where a webhook goes by now: a reload may have changed that. Nobody else must get it: where an account
// has several sites with Relays, it goes to the same URL as before, or to that of its caller by name.
func (r *relays) now(d relay.Delivery) (to *relay.Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var of any
	for _, site := range r.sites {
		if site.has(d.Target) {
			return d.Target
		}
		of = cmp.Or(site.of, of)
	}
	var same, named *relay.Target
	sites := 0
	for _, site := range r.sites {
		if site.of != of || of == nil || len(site.to) == 0 {
			continue
		}
		one := site.to.of(d.Name)
		if d.Unknown && !site.to.all() {
			one = nil
		}
		sites++
		to = one
		if one != nil && one.Same(d.Target) {
			same = one
		}
		if one != nil && one == site.to[d.Name] && !d.Unknown {
			named = one
		}
	}
	if sites > 1 {
		to = named
	}
	return cmp.Or(same, to)
}

func (s *relaySite) has(to *relay.Target) bool {
	for _, one := range s.to {
		if one == to {
			return true
		}
	}
	return false
}

// all tells that everything goes to one place, whoever's it is.
func (r Relays) all() bool { return len(r) == 1 && r[OtherCallers] != nil }

func newRelays(a *Account) *relays {
	r := &relays{account: a}
	r.floods = newFloods(r.logMore)
	r.Sender = relay.New(relay.Transport(), r.now, r.tell)
	return r
}

func (r *relays) close() {
	r.Close()
	r.floods.stop()
}

// tell counts and logs what became of a try. A target that fails is told of once until it works again;
// of webhooks that are lost, lines in a row are one.
func (r *relays) tell(d relay.Delivery, result relay.Result, why error) {
	r.account.metrics.Relay(result)
	level, message := slog.LevelDebug, "webhook relayed"
	switch result {
	case relay.Delivered:
		if d.Target.Works() {
			level, message = slog.LevelInfo, "webhooks are relayed again"
		}
	case relay.Retried:
		message = "webhook not relayed yet, trying again"
		if d.Target.Breaks(time.Now()) {
			level = slog.LevelWarn
		}
	case relay.GaveUp, relay.Dropped:
		level, message = slog.LevelWarn, "webhook lost, it was not relayed"
		if r.floods.follows(because[relay.Result]{result, why.Error()}, d.Name) {
			return
		}
	}
	attrs := []slog.Attr{slog.String("result", string(result))}
	if d.Target != nil { // nil for what nobody is known to wait for
		attrs = append(attrs, slog.String("to", d.Target.String()))
	}
	attrs = append(attrs, slog.String("request_id", wire.RedactID(d.ID)))
	if d.Name != "" {
		attrs = append(attrs, slog.String("caller", d.Name))
	}
	if why != nil {
		attrs = append(attrs, slog.String("why", why.Error()))
	}
	r.log(level, message, attrs...)
}

// logMore tells how many more were lost since the last line, and whose.
func (r *relays) logMore(of because[relay.Result], f *flood) {
	r.log(slog.LevelWarn, "webhooks lost, they were not relayed", slog.String("result", string(of.result)), slog.String("why", of.why),
		slog.Int("webhooks", f.calls), slog.Any("callers", f.callers))
}

func (r *relays) log(level slog.Level, message string, attrs ...slog.Attr) {
	r.account.mu.Lock()
	by := r.account.loggers.Get()
	r.account.mu.Unlock()
	logger := r.last.Load() // when the account ends, none is in force any more
	if by != nil {
		logger = (*by).ofAccount()
	}
	if logger != nil {
		logger.LogAttrs(context.Background(), level, message, attrs...)
	}
}

// booked is within what time of its start the ledgers, and the store, know whose a verification is.
const booked = time.Minute

var errNobodys = errors.New("nobody knows any more who has started the verification")

// relay passes on a webhook that was taken in. It is undecided while it is not known whose it is, since
// the store is away or a start is just being told of: it must not come to somebody else. Of one that was
// started long ago nobody will know.
func (h *Webhooks) relay(ctx context.Context, e state.Event, body []byte) observe.WebhookResult {
	if len(h.to) == 0 {
		return observe.WebhookTaken
	}
	// The store is asked for those that another gateway has started. The provider waits for that alone.
	ctx = context.WithoutCancel(ctx)
	start := h.gateway.whose(ctx, []string{e.ID}, started.known)[0]
	to := h.to.of(start.caller)
	h.gateway.Account.relays.last.Store(h.gateway.ofAccount())
	if !start.known() && !h.to.all() {
		if start.away {
			return observe.WebhookStoreAway
		}
		if v, known, _ := h.gateway.Account.states.Find(ctx, e.ID); e.Early() || known && v.Age() < booked {
			return observe.WebhookUndecided
		}
		h.gateway.Account.relays.tell(relay.Delivery{ID: e.ID}, relay.Dropped, errNobodys)
		return observe.WebhookTaken
	}
	if to != nil {
		h.gateway.Account.relays.Send(relay.Delivery{Target: to, Name: start.caller, Unknown: !start.known(), ID: e.ID, Body: body})
	}
	return observe.WebhookTaken
}
