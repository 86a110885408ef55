package gateway

import (
	"context"
	"errors"
	"log/slog"
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

// of is where those of an owner are taken, nil for nowhere: while it is not known who that is, only where there is
// one place for all.
func (r Relays) of(is owner) *relay.Target {
	if to, named := r[is.caller]; named && is.known {
		return to
	}
	if is.known || len(r) == 1 {
		return r[OtherCallers]
	}
	return nil
}

// relays pass an account's webhooks on. They survive a reload, like what they have under way.
type relays struct {
	*relay.Sender
	account *Account
	floods  *floods[because[relay.Result]] // of warnings
	last    atomic.Pointer[slog.Logger]    // of those that had one to pass on

	mu sync.Mutex
	// by are the Relays by their configurations, and current are those of the one in force.
	by      map[any]*relaysOf
	current *relaysOf
}

// relaysOf are the Relays of an account in one configuration, by the handlers of webhooks that have some.
type relaysOf struct {
	sites []Relays
	took  bool // whether they have come into force
}

// add has Relays be those of a configuration, too.
func (r *relays) add(configuration any, to Relays) *relaysOf {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.by[configuration]
	if all == nil {
		all = new(relaysOf)
		r.by[configuration] = all
	}
	if len(to) > 0 {
		all.sites = append(all.sites, to)
	}
	return all
}

// TakeOverRelays has webhooks that wait go where a configuration has them that has come into force.
func (a *Account) TakeOverRelays(configuration any) { a.relays.takeOver(configuration) }

// takeOver puts those of a configuration in force.
func (r *relays) takeOver(configuration any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	current := r.by[configuration]
	if current == nil {
		current = new(relaysOf)
	}
	current.took = true
	r.by, r.current = map[any]*relaysOf{configuration: current}, current
}

// now is where a webhook goes by now that was taken in by a configuration: the one in force may be another. Nobody
// else must get it, so that it goes to the same URL, or where it is sure that it is its caller's.
func (r *relays) now(by *relaysOf, is owner, was *relay.Target) *relay.Target {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !by.took || by == r.current {
		return was
	}
	for _, to := range r.current.sites {
		if one := to.of(is); one != nil && one.Same(was) {
			return one
		}
	}
	if by.only(is) == nil {
		return nil
	}
	return r.current.only(is)
}

// owner is who has started a verification.
type owner struct {
	caller string
	known  bool
}

// only is the one place for what an owner has started, nil where there is none or more of them.
func (r *relaysOf) only(is owner) (only *relay.Target) {
	for _, to := range r.sites {
		one := to.of(is)
		switch {
		case one == nil && is.known: // none of its webhooks comes from here
		case one == nil, only != nil && !one.Same(only):
			return nil
		default:
			only = one
		}
	}
	return only
}

func newRelays(a *Account) *relays {
	r := &relays{account: a, by: map[any]*relaysOf{}}
	r.floods = newFloods(r.logMore)
	r.Sender = relay.New(relay.Transport(), r.tell)
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
	is := owner{start.caller, start.known()}
	to := h.to.of(is)
	h.gateway.Account.relays.last.Store(h.gateway.ofAccount())
	if !is.known && to == nil {
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
		relays := h.gateway.Account.relays
		now := func(was *relay.Target) *relay.Target { return relays.now(h.relays, is, was) }
		relays.Send(relay.Delivery{Target: to, Name: start.caller, Now: now, ID: e.ID, Body: body})
	}
	return observe.WebhookTaken
}
