package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/suspend"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// againAfter is the least time between two times that the gateway finds out whether the
// provider takes the other secret, where it did not.
const againAfter = 5 * time.Second

// secrets are what an account knows of a secret, or of two that the provider takes one as
// well as the other: whether it refuses them, and which is in use. That one stays in use,
// also in the next configuration, until the provider refuses it in turn.
type secrets struct {
	suspend.Suspension
	gateways int    // guarded by Account.mu
	two      bool   // there is another one
	told     func() // ends the telling of what happens to them

	mu      sync.Mutex
	use     wire.SecretName
	finding chan struct{} // closed when it is known whether to switch; nil if nobody asks
	found   time.Time     // that the other is not taken either
}

// inUse is the secret that calls are made with.
func (s *secrets) inUse() wire.SecretName {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.use
}

// secretsOf returns what is known of the secrets with a sum, until leave. New ones are
// told of where they take the place of others.
func (a *Account) secretsOf(sum [32]byte, two bool) (s *secrets, isNew bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s = a.secrets[sum]
	if isNew = s == nil; isNew {
		s = &secrets{two: two, use: wire.FirstSecret}
		s.told = s.OnChange(func(c suspend.Change) { a.publish(AccountSuspended(c)) })
		a.secrets[sum] = s
	}
	s.gateways++
	return s, isNew
}

func (a *Account) leave(sum [32]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.secrets[sum]; s != nil {
		if s.gateways--; s.gateways == 0 {
			delete(a.secrets, sum)
			s.told() // calls under way learn of secrets that are no trouble any more
		}
	}
}

// Use has the calls that begin from now on made with other secrets; next is none where
// there is one only. What is known of others is no trouble of theirs.
func (g *Gateway) Use(first, next upstream.Secret) error {
	return g.replace(func(by *credentials) { by.first, by.next = first, next })
}

// UseDrained has the calls about verifications of version 1 that begin from now on made with another
// secret, where version 2's are made with an application's key.
func (g *Gateway) UseDrained(secret upstream.Secret) error {
	return g.replace(func(by *credentials) { by.drained = secret })
}

func (g *Gateway) replace(change func(*credentials)) error {
	isNew, err := g.change(change)
	if isNew {
		g.Account.publish(SecretReplaced{})
	}
	return err
}

// credentials are the secrets that calls are made with.
type credentials struct {
	first, next upstream.Secret
	// drained is for verifications of version 1, where that is another; else none.
	drained upstream.Secret
}

func (g *Gateway) change(change func(*credentials)) (isNew bool, err error) {
	g.using.Lock()
	defer g.using.Unlock()
	last := g.way.Load()
	w := &way{Account: g.Account, unauthorized: g.V2 != nil}
	if last != nil {
		w.by = last.by
	}
	change(&w.by)
	config := g.Upstream
	config.Secret, config.Next = w.by.first, w.by.next
	w.sum = config.Sum()
	sameDrained := last != nil && last.by.drained.Equal(w.by.drained)
	if sameDrained && last.sum == w.sum {
		return false, nil
	}
	p, err := g.api(config, w.by.drained)
	if err != nil {
		return false, err
	}
	letGo := g.Account.live.Add(w.by.first, w.by.next, w.by.drained)
	w.letGo = func(after time.Duration) {
		letGo(after)
		p.close(after)
	}
	w.secrets, isNew = g.Account.secretsOf(w.sum, !w.by.next.None())
	isNew = isNew || last != nil && !sameDrained
	g.pipelines(w, p)
	if g.inUse {
		w.stop = w.secrets.ProbeWith(w.probe)
	}
	g.way.Store(w)
	if last != nil {
		g.retire(last)
	}
	return isNew, nil
}

// retire gives back what a way holds. Calls that take it are under way still, for as long
// as a call may last.
func (g *Gateway) retire(w *way) {
	if w.stop != nil {
		w.stop()
	}
	g.Account.leave(w.sum)
	w.letGo(g.Timeout + time.Second)
}

// begin has the suspension probe, whatever the secrets, until it is stopped.
func (g *Gateway) begin() (stop func()) {
	g.using.Lock()
	defer g.using.Unlock()
	w := g.way.Load()
	w.stop = w.secrets.ProbeWith(w.probe)
	g.inUse = true
	return func() {
		g.using.Lock()
		defer g.using.Unlock()
		g.inUse = false
		if w := g.way.Load(); w.stop != nil {
			w.stop()
			w.stop = nil
		}
	}
}

func (g *Gateway) leave() {
	g.using.Lock()
	defer g.using.Unlock()
	g.retire(g.way.Load())
}

// eitherSecret makes a call with the secret in use, and once more where the provider
// takes the other one instead. By status 4 it says that it has done nothing.
func (w *way) eitherSecret(next wire.Sender) wire.Sender {
	return w.either(next, func(answer *wire.Answer) (why wire.SwitchReason, sure bool) {
		switch {
		case answer.Fault == nil && answer.Status == wire.BadCredentials:
			return wire.SwitchStatus4, true
		case w.unauthorized && refused(answer) != "":
			return wire.SwitchUnauthorized, false
		}
		return "", false
	})
}

// eitherSecretOfProbe does so for a search of the gateway's own, which the codes 401 and
// 403 are about, too: in the answer to a client's call they may be about its text.
func (w *way) eitherSecretOfProbe(next wire.Sender) wire.Sender {
	return w.either(next, func(answer *wire.Answer) (wire.SwitchReason, bool) { return refused(answer), true })
}

// refused tells whether the answer to a search of the gateway's own is that the provider
// does not take the secret, and how it says so.
func refused(answer *wire.Answer) wire.SwitchReason {
	switch {
	case answer.Fault == nil && answer.Status == wire.BadCredentials:
		return wire.SwitchStatus4
	case answer.Fault != nil && answer.Fault.Cause == wire.UpstreamUnauthorized:
		return wire.SwitchUnauthorized
	}
	return ""
}

func (w *way) either(next wire.Sender, refused func(*wire.Answer) (why wire.SwitchReason, sure bool)) wire.Sender {
	s := w.secrets
	if !s.two {
		return next
	}
	return func(ctx context.Context, call *wire.Call) wire.Answer {
		attempt := wire.AttemptOf(ctx)
		attempt.Secret = s.inUse()
		answer := next(wire.WithAttempt(ctx, attempt), call)
		why, sure := refused(&answer)
		if why == "" {
			return answer
		}
		switch other, err := w.instead(ctx, attempt.Secret, why, sure); {
		case errors.Is(err, context.DeadlineExceeded): // before it is known what the answer is worth
			return (&wire.Fault{Cause: wire.UpstreamTimeout, Reason: wire.ReasonNoAnswer}).Answer()
		case err != nil:
			return (&wire.Fault{Cause: wire.ClientLeft}).Answer()
		case !other:
			return answer
		}
		attempt.Secret = attempt.Secret.Other()
		attempt.Resend++
		return next(wire.WithAttempt(ctx, attempt), call)
	}
}

// instead tells whether the other secret is in use in place of one that the provider has
// refused, or, where that is not sure, perhaps. If need be it finds out, once for all calls that ask.
func (w *way) instead(ctx context.Context, from wire.SecretName, why wire.SwitchReason, sure bool) (bool, error) {
	s := w.secrets
	s.mu.Lock()
	if s.use != from {
		s.mu.Unlock()
		return true, nil
	}
	if s.finding == nil {
		if time.Since(s.found) < againAfter {
			s.mu.Unlock()
			return false, nil
		}
		s.finding = make(chan struct{})
		go w.find(from, why, sure) //nolint:gosec // it is for all that ask, and has a timeout of its own
	}
	finding := s.finding
	s.mu.Unlock()
	select {
	case <-finding:
		return s.inUse() != from, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// find asks the provider whether it takes the other secret, and if so has it used. It
// asks again where the answer says nothing. It is no call's: those that wait for it may
// leave.
func (w *way) find(from wire.SecretName, why wire.SwitchReason, sure bool) {
	s, to := w.secrets, from.Other()
	ctx := wire.WithAttempt(context.Background(), wire.Attempt{Secret: to})
	var answer wire.Answer
	taken := false
	if !sure { // the one in use may be as good as ever
		answer = w.askOther(wire.WithAttempt(ctx, wire.Attempt{Secret: from}))
		sure = refused(&answer) != ""
	}
	for range 2 {
		if !sure {
			break
		}
		answer = w.askOther(ctx)
		if taken = suspend.Accepted(&answer); taken || refused(&answer) != "" {
			break
		}
	}
	if taken {
		s.Searched(answer)
	}
	s.mu.Lock()
	if taken {
		s.use = to
		w.events.Push(Event{Account: w.label, Time: time.Now(), Detail: SecretSwitched{From: from, To: to, Why: why}})
	} else {
		s.found = time.Now()
	}
	close(s.finding)
	s.finding = nil
	s.mu.Unlock()
	w.events.Deliver()
}

// askOther is a search with the other secret. Those who wait for its answer do not get on
// without one.
func (w *way) askOther(ctx context.Context) (answer wire.Answer) {
	defer func() {
		if p := recover(); p != nil {
			answer = (&wire.Fault{Cause: wire.UpstreamError, Err: fmt.Errorf("the search panicked: %v", p)}).Answer()
		}
	}()
	return w.sendOther(ctx, probe())
}
