package guard

import (
	"fmt"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func (s *schedule) then(op func()) { s.ops = append(s.ops, op) }

// ask is the first step of a start: there may be too little money for it here.
func (s *schedule) ask(v *verif) {
	switch {
	case v.at.gone:
		return
	case !v.at.Lacks(v.start):
		s.then(func() { s.decide(v) })
		return
	case v.at.busy && s.turns:
		s.then(func() { s.ask(v) })
		if len(s.ops) < 8 {
			s.pass(10 * time.Millisecond)
		}
		return
	}
	v.at.busy = true
	v.books = v.at.Wanting(v.start)
	s.then(func() { s.fund(v) })
}

func (s *schedule) fund(v *verif) {
	s.tell(v.at, v.books, func() { s.then(func() { s.decide(v) }) })
	v.at.busy = false
}

func (s *schedule) decide(v *verif) {
	if v.at.gone {
		return
	}
	d := v.at.Decide(v.start)
	if _, refused := d.Refusal(); refused {
		if v.tries++; v.tries < 4 {
			if v.tries == 2 {
				s.pass(100 * time.Millisecond)
			}
			s.then(func() { s.ask(v) })
		}
		return
	}
	v.ticket, v.sent = d.Ticket, true
	s.sent.Add(1)
	s.commit(v, v.start.Worst.Micro)
	s.then(func() { s.answer(v) })
}

// commit has a verification have taken, or perhaps take, so much.
func (s *schedule) commit(v *verif, amount int64) {
	more := amount - v.committed
	v.committed = amount
	s.taken[0] += more
	var by int
	if _, err := fmt.Sscanf(v.start.Caller, "caller%d", &by); err == nil && by > 0 {
		s.taken[by] += more
	}
	for i, taken := range s.taken {
		if taken > s.caps[i] {
			s.problem = fmt.Sprintf("%d of %d is spent or reserved of budget %d", taken, s.caps[i], i)
		}
	}
}

// answer is that of the provider to the request.
func (s *schedule) answer(v *verif) {
	switch dice := s.rnd.IntN(16); {
	case v.at.gone:
		v.price = v.start.Worst.Micro // nobody knows
	case dice == 0:
		v.at.Withdraw(v.ticket)
		s.commit(v, 0)
	case dice == 1 && !s.clean:
		v.price = v.start.Worst.Micro // it is never heard of again
	default:
		v.id = fmt.Sprint("id-", v.start.Number)
		v.price = s.rnd.Int64N(v.start.Worst.Micro + 1)
		v.at.Started(v.ticket, v.id)
		s.then(func() { s.finish(v, s.rnd.IntN(4)) })
	}
}

// finish tells how a verification ends and what it costs, in any order.
func (s *schedule) finish(v *verif, order int) {
	spent := Money{v.price, "EUR"}
	switch {
	case v.at.gone:
		v.price = v.start.Worst.Micro
		return
	case order == 0: // a part of it first
		v.at.Settle(v.id, Money{v.price / 2, "EUR"})
		s.then(func() { s.finish(v, 1) })
		return
	case order == 1:
		v.at.Ended(v.id, wire.OutcomeFailed)
		v.at.Settle(v.id, spent)
	default:
		v.at.Settle(v.id, spent)
		v.at.Ended(v.id, wire.OutcomeSuccess)
	}
	s.commit(v, v.price)
}
