package gateway

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// hintLife is how long others are told of what a gateway has learnt. Whoever comes later
// learns of it by himself, if it is still so.
const hintLife = 10 * time.Second

// The topics of hints, and what is said of them.
const (
	throttledTopic = "throttled" // the rate to which it was lowered
	suspendedTopic = "suspended" // the status; empty for no more
	circuitTopic   = "circuit:"  // and the class: why it has opened
)

// hints are what gateways of an account tell each other through a store of what they have
// learnt of the provider. Nobody believes another what he can find out: a hint makes a
// gateway look, and what it sees counts. Only a lower rate is taken over, since looking
// would be one more call too many.
type hints struct {
	account *Account
	shared  *store.Shared
	topics  map[store.Name]string // by the name that the store tells
	wake    chan struct{}
	done    chan struct{}

	mu   sync.Mutex
	say  map[string]string // by topic
	hear map[string]bool
}

// hintBy has others told by a store of what the account learns, and the account look at
// what they have learnt, until another one comes or the account ends. nil is for no store.
// The caller holds a.configuring, or has made the account.
func (a *Account) hintBy(s *store.Shared) {
	if a.hints != nil {
		if a.hints.shared == s {
			return
		}
		close(a.hints.done)
		a.hints = nil
	}
	if s == nil {
		return
	}
	h := &hints{
		account: a, shared: s, topics: map[store.Name]string{},
		wake: make(chan struct{}, 1), done: make(chan struct{}),
		say: map[string]string{}, hear: map[string]bool{},
	}
	topics := []string{throttledTopic, suspendedTopic}
	for _, class := range wire.Classes {
		topics = append(topics, circuitTopic+string(class))
	}
	for _, topic := range topics {
		h.topics[s.Hidden(topicName(topic))] = topic
	}
	a.hints = h
	ends := []func(){
		s.Watch(h.told),
		a.limiter.OnCut(func(rate int) { h.tell(throttledTopic, strconv.Itoa(rate)) }),
		a.Subscribe(h.learnt),
	}
	h.told(store.Name{}) // what others have learnt before
	go func() {
		defer func() {
			for _, end := range ends {
				end()
			}
		}()
		h.run()
	}()
}

func topicName(topic string) store.Name { return store.Name{Kind: store.Topic, ID: topic} }

// learnt is the subscription to what the account has learnt.
func (h *hints) learnt(e Event) {
	switch d := e.Detail.(type) {
	case CircuitChanged:
		if d.From == wire.CircuitClosed && d.To == wire.CircuitOpen && d.OpenFor > 0 { // not by an operator
			h.tell(circuitTopic+string(d.Class), d.Why)
		}
	case AccountSuspended:
		h.tell(suspendedTopic, string(d.To))
	}
}

// tell has others told, not by who calls it.
func (h *hints) tell(topic, what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.say[topic] = what
	h.poke()
}

// told is what the store has to say: it calls it while others wait.
func (h *hints) told(n store.Name) {
	topic, known := h.topics[n]
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case known:
		h.hear[topic] = true
	case n == store.Name{}:
		for _, topic := range h.topics {
			h.hear[topic] = true
		}
	default:
		return
	}
	h.poke()
}

func (h *hints) poke() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

func (h *hints) run() {
	for {
		select {
		case <-h.done:
			return
		case <-h.account.stop:
			return
		case <-h.wake:
		}
		h.mu.Lock()
		say, hear := h.say, h.hear
		h.say, h.hear = map[string]string{}, map[string]bool{}
		h.mu.Unlock()
		// What the store does not take, nobody is told: they find out by themselves.
		for _, topic := range slices.Sorted(maps.Keys(say)) {
			_ = h.shared.Hint(context.Background(), topicName(topic), []byte(say[topic]), hintLife)
		}
		for _, topic := range slices.Sorted(maps.Keys(hear)) {
			what, left, err := h.shared.Hinted(context.Background(), topicName(topic))
			if err == nil && what != nil {
				h.look(topic, string(what), hintLife-left)
			}
		}
	}
}

// look looks at what has been learnt elsewhere some time ago; it may have been here.
func (h *hints) look(topic, what string, ago time.Duration) {
	switch topic {
	case throttledTopic:
		if rate, err := strconv.Atoi(what); err == nil {
			h.account.limiter.Lower(rate + int(ago.Round(time.Second)/time.Second)) // as it has recovered since
		}
	case suspendedTopic:
		h.lookAtSecrets(wire.Status(what))
	default:
		for _, class := range wire.Classes {
			if topic == circuitTopic+string(class) {
				h.account.breakers.Of(class).Check()
			}
		}
	}
}

// lookAtSecrets finds out whether what the provider says elsewhere of the account is so
// here. Only credentials can be looked at: that the account is barred, or has no credit, is
// found out by the next request, whose answer is that.
func (h *hints) lookAtSecrets(status wire.Status) {
	h.account.mu.Lock()
	defer h.account.mu.Unlock()
	for _, s := range h.account.secrets {
		switch _, inTrouble := s.Status(); {
		case status == wire.BadCredentials && !inTrouble:
			s.Suspect()
		case status == "" && inTrouble:
			s.Try()
		}
	}
}
