package store

import (
	"context"
	"maps"
	"time"
)

// purse is what is known of a budget.
type purse struct {
	// opens is when more can be granted, and until then least the most that anybody knew to be
	// spent and held. open tells that lost was made of it.
	opens time.Time
	open  bool
	least int64
	// lost was spent by who has not told of it since the store has forgotten it.
	lost    amount
	holders map[Mark]*holder
	// past is of those that are told apart no longer, by when it counts no more.
	past  map[int64]amount
	until time.Time
}

// holder is a gateway's part.
type holder struct {
	seq   uint64
	held  int64
	seen  time.Time
	spent map[int64]amount // by slice
}

type amount struct {
	n     int64
	until time.Time
}

func (h *holder) sum() (n int64) {
	for _, a := range h.spent {
		n += a.n
	}
	return n
}

func (m view) Hold(_ context.Context, budget Name, b Book) (Grant, error) {
	now := m.at()
	defer m.mu.Unlock()
	p := m.purses[budget]
	if p == nil || !p.until.After(now) {
		p = &purse{opens: now.Add(BudgetClosed), holders: map[Mark]*holder{}, past: map[int64]amount{}}
		m.purses[budget] = p
	}
	p.until = later(p.until, now.Add(b.Keep+Gone))
	p.sweep(b.Keep, now)
	h, known := p.holders[b.By]
	if p.open && (known && h.seq < b.Answered || !known && b.Answered > 0 && p.lost.n == 0 && len(p.holders) < MaxGateways) {
		p.open, p.least, p.opens = false, 0, now.Add(BudgetClosed)
	}
	if !known {
		h = p.add(b, now)
	}
	if known && b.Seq <= h.seq {
		grant := p.others(b.By, now)
		if grant.Held = min(b.Held, b.Want); b.Seq == h.seq {
			grant.Held = h.held
		}
		return grant, nil
	}
	for _, s := range b.Spent {
		if left := b.Keep - s.Age; s.Amount > h.spent[s.Slice].n && left > 0 {
			h.spent[s.Slice] = amount{s.Amount, now.Add(left)}
		}
	}
	h.seq, h.seen, h.held = b.Seq, now, min(b.Held, b.Want)
	own := h.sum()
	grant := p.others(b.By, now)
	grant.OthersSpent -= p.lost.n // which is about to change
	all := own + grant.OthersSpent + grant.OthersHeld
	told := own + b.Held
	if !p.open {
		p.least = max(p.least, told+b.Others)
		p.lost = amount{max(0, p.least-all-b.Held), now.Add(b.Keep)}
		p.open = !p.opens.After(now)
	} else if !known { // it has come late: it is no part of what nobody tells
		p.lost.n -= min(p.lost.n, told)
	}
	all += p.lost.n
	grant.OthersSpent += p.lost.n
	if p.open {
		h.held = max(h.held, min(b.Want, b.Cap-all))
	}
	grant.Held = h.held
	return grant, nil
}

// others is what they have spent and hold.
func (p *purse) others(but Mark, now time.Time) (g Grant) {
	for by, h := range p.holders {
		switch {
		case by == but:
			continue
		case now.Sub(h.seen) < Gone:
			g.OthersHeld += h.held
		default:
			g.OthersSpent += h.held
		}
		g.OthersSpent += h.sum()
	}
	for _, a := range p.past {
		g.OthersSpent += a.n
	}
	g.OthersSpent += p.lost.n
	return g
}

// sweep forgets what counts no longer.
func (p *purse) sweep(keep time.Duration, now time.Time) {
	over := func(_ int64, a amount) bool { return !a.until.After(now) }
	maps.DeleteFunc(p.past, over)
	if over(0, p.lost) {
		p.lost = amount{}
	}
	maps.DeleteFunc(p.holders, func(_ Mark, h *holder) bool {
		maps.DeleteFunc(h.spent, over)
		over := now.Sub(h.seen) >= keep // a late call of one that is forgotten would pass for another's
		if over {
			h.held = 0
		}
		return over && len(h.spent) == 0
	})
}

// add has one more, in place of the one that was not heard from for longest where there are too many.
func (p *purse) add(b Book, now time.Time) *holder {
	if len(p.holders) >= MaxGateways {
		var oldest Mark
		for by, h := range p.holders {
			if first := p.holders[oldest]; first == nil || h.seen.Before(first.seen) || h.seen.Equal(first.seen) && by < oldest {
				oldest = by
			}
		}
		h := p.holders[oldest]
		h.spent[-1] = amount{h.held, h.seen.Add(b.Keep)}
		part := b.Keep / Pasts
		for _, a := range h.spent {
			i := int64(a.until.Sub(epoch)/part) + 1
			p.past[i] = amount{p.past[i].n + a.n, epoch.Add(time.Duration(i) * part)}
		}
		delete(p.holders, oldest)
	}
	h := &holder{spent: map[int64]amount{}, seen: now}
	p.holders[b.By] = h
	return h
}

// epoch is what times are divided from.
var epoch = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)
