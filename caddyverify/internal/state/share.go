package state

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

const (
	// maxLog is how many entries a verification's log has at most: facts may be told twice.
	maxLog = 4 * maxFacts
	// longest is how long a verification may be under way.
	longest = time.Hour
	// atOnce is of how many verifications Retell tells.
	atOnce = 64
)

// Share has gateways tell each other what they know, by a log of each verification; nil is for no
// others. The log of a *store.Shared hides whose it is, and what it says.
func (b *Book) Share(logs store.Logs) {
	if s, ok := logs.(*store.Shared); ok && s == nil {
		logs = nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.logs == logs {
		return
	}
	b.logs, b.forgot = logs, forgotten(logs)
	b.untellAll()
}

// untellAll is for a store that knows nothing.
func (b *Book) untellAll() {
	for _, r := range b.records.byID {
		for i := range r.facts {
			r.facts[i].told = false
		}
		b.note(r)
	}
}

// forgotten is how often the store turned out to have forgotten what it knew.
func forgotten(logs store.Logs) uint64 {
	if s, ok := logs.(interface{ Stats() store.Stats }); ok {
		return s.Stats().Forgot
	}
	return 0
}

// Retell tells the store some of what it has not taken, or has forgotten. It is for a clock.
func (b *Book) Retell(ctx context.Context) {
	b.mu.Lock()
	logs := b.logs
	b.mu.Unlock()
	forgot := forgotten(logs)
	b.mu.Lock()
	if b.logs == logs && forgot != b.forgot {
		b.forgot = forgot
		b.untellAll()
	}
	some := make([]*record, 0, atOnce)
	for r := range b.pending {
		if some = append(some, r); len(some) == atOnce {
			break
		}
	}
	b.mu.Unlock()
	slices.SortFunc(some, func(r, other *record) int { return cmp.Compare(r.id, other.id) }) // in the same order each time
	for _, r := range some {
		if !b.tell(ctx, r) {
			return
		}
	}
}

func logOf(id string) store.Name { return store.Name{Kind: store.Log, ID: "state/" + id} }

// tell tells the store what it may not know of a verification. It reports false where the store has
// not taken it.
func (b *Book) tell(ctx context.Context, r *record) bool {
	b.mu.Lock()
	logs := b.logs
	var facts []*fact
	if logs != nil {
		facts = r.untold()
	}
	b.mu.Unlock()
	if len(facts) == 0 {
		return true
	}
	entries := make([][]byte, len(facts))
	for i, f := range facts {
		entries[i] = f.encode()
	}
	// Others have to know, whether or not the client waits for it. The whole log is kept for that long, with the
	// number in it, and Redis reserves 4 kB for each: see docs/configuration.md.
	err := logs.Tell(context.WithoutCancel(ctx), logOf(r.id), entries, maxLog, b.settings.Keep+longest)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil && b.logs == logs {
		for i := range r.facts {
			for _, f := range facts {
				r.facts[i].told = r.facts[i].told || r.facts[i].fact == f
			}
		}
	}
	b.note(r)
	return err == nil
}

// read takes in what the store knows of a verification, and tells it what it does not: it may not
// have taken that, or have forgotten. It returns what is known then, whether or not there is room to
// keep it, and whether that is sure.
func (b *Book) read(ctx context.Context, id string) (r *record, v Verification, known, sure bool) {
	b.mu.Lock()
	logs := b.logs
	b.mu.Unlock()
	r = &record{id: id}
	if logs == nil {
		v, known = b.find(id)
		return r, v, known, true
	}
	entries, err := logs.Read(ctx, logOf(id), "", maxLog)
	if err != nil {
		v, known = b.find(id)
		return r, v, known, known
	}
	var facts []*fact
	for _, e := range entries {
		if f := decode(e.Value, e.Age); f != nil {
			facts = append(facts, f)
		}
	}
	b.mu.Lock()
	if kept := b.records.byID[id]; kept != nil {
		for i := range kept.facts {
			kept.facts[i].told = false
		}
	} else if len(facts) == 0 {
		b.mu.Unlock()
		return r, v, false, true
	}
	r = b.take(r, true, facts...)
	if r.over.Add(b.settings.Keep).After(time.Now()) {
		v, known = r.found()
	}
	b.mu.Unlock()
	b.tell(ctx, r)
	return r, v, known, true
}
