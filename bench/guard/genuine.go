package main

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

const day = 24 * time.Hour

// start is a verification that is started.
type start struct {
	at      time.Duration // since the beginning of the month
	app     *app
	number  number
	address string
	attack  *attack // nil for a genuine one
	outcome string  // "" where nobody sees one
	ended   time.Duration
}

// month is all that happens.
type month struct {
	options
	random *rand.Rand
	starts []start
}

func newMonth(o options) *month {
	m := &month{options: o, random: rand.New(rand.NewPCG(o.seed, 22))}
	for _, a := range apps {
		m.users(a)
	}
	for i := range attacks {
		attacks[i].make(m, &attacks[i])
	}
	slices.SortStableFunc(m.starts, func(a, b start) int { return cmp.Compare(a.at, b.at) })
	return m
}

// users has the users of an application come.
func (m *month) users(a *app) {
	// A user comes every five days or so.
	people := make([]number, int(5*a.perDay*m.scale)+1)
	for i := range people {
		people[i] = m.someone(a)
	}
	for d := range m.days {
		for minute := range 24 * 60 {
			at := time.Duration(d)*day + time.Duration(minute)*time.Minute
			for range m.poisson(a.perDay * m.scale * m.rhythm(a, d, minute) / (24 * 60)) {
				m.session(a, people[m.random.IntN(len(people))], at+time.Duration(m.random.Int64N(int64(time.Minute))), "")
			}
		}
		if weekday := d % 7; weekday < 5 {
			for range m.poisson(a.companies) {
				m.company(a, time.Duration(d)*day+time.Duration(8+m.random.IntN(8))*time.Hour)
			}
		}
	}
}

// someone lives in one of the application's markets, or nearly.
func (m *month) someone(a *app) number {
	if m.random.IntN(1000) == 0 {
		return countries[[]string{"PL", "MX", "BR", "LK", "NG", "PK"}[m.random.IntN(6)]].anyone(m.random)
	}
	all := 0.0
	for _, one := range a.markets {
		all += one.weight
	}
	at := m.random.Float64() * all
	for _, one := range a.markets {
		if at -= one.weight; at < 0 {
			return countries[one.country].anyone(m.random)
		}
	}
	return countries[a.markets[0].country].anyone(m.random)
}

// rhythm is how much there is to do at a minute of a day, of 1 on average.
func (m *month) rhythm(a *app, d, minute int) float64 {
	hour := float64(minute)/60 + float64(a.zone)
	busy := 0.15 + 1.7*math.Pow(math.Max(0, math.Sin(math.Pi*(math.Mod(hour+24, 24)-6)/18)), 1.5) // from 6 until 24, local time
	if d%7 >= 5 {
		busy *= a.weekend
	}
	if slices.Contains(a.peaks, d) && minute >= 15*60 && minute < 16*60+30 {
		busy *= 8
	}
	return busy
}

// session is one who wants in. Whoever gets no code may ask for another.
func (m *month) session(a *app, who number, at time.Duration, address string) {
	if address == "" && a.addresses {
		address = fmt.Sprintf("10.%d.%d.%d", m.random.IntN(256), m.random.IntN(256), m.random.IntN(256))
	}
	// again is how many of those without a code ask once more, after as many codes.
	again := []float64{0.6, 0.25, 0.1, 0.05}
	for try := 0; ; try++ {
		s := start{at: at, app: a, number: who, address: address}
		none := m.random.IntN(100) < 6 || try > 0 && m.random.IntN(2) == 0 // no message comes
		took := time.Duration(25 * math.Exp(0.8*m.random.NormFloat64()) * float64(time.Second))
		switch {
		case none && m.random.Float64() < again[min(try, len(again)-1)]:
			at += time.Duration(60+m.random.IntN(120)) * time.Second
			m.add(s.ends("cancelled", at-time.Second))
			continue
		case none || m.random.Float64() > a.convert || took > 5*time.Minute:
			if m.random.IntN(10) < 3 {
				s = s.ends("failed", s.at+2*time.Minute) // three wrong codes
			} else if m.random.IntN(10) < 3 {
				s = s.ends("expired", s.at+6*time.Minute) // the application has looked
			}
		default:
			s = s.ends("success", s.at+took)
		}
		m.add(s)
		return
	}
}

func (s start) ends(outcome string, at time.Duration) start {
	if s.app.checks {
		s.outcome, s.ended = outcome, at
	}
	return s
}

func (m *month) add(s start) {
	if s.at < time.Duration(m.days)*day {
		m.starts = append(m.starts, s)
	}
}

// company has its employees sign up: their numbers are of a hundred, and their address is one.
func (m *month) company(a *app, at time.Duration) {
	first := m.someone(a)
	first.suffix -= first.suffix % 100
	over := time.Duration(3+m.random.IntN(40)) * time.Minute
	for _, place := range m.random.Perm(100)[:4+m.random.IntN(25)] {
		who := first
		who.suffix += place
		m.session(a, who, at+time.Duration(m.random.Int64N(int64(over))), "192.0.2.1")
	}
}

// poisson draws how many of what happens so often on average.
func (m *month) poisson(mean float64) int {
	n := 0
	limit, product := math.Exp(-mean), m.random.Float64()
	for ; product > limit; n++ {
		product *= m.random.Float64()
	}
	return n
}
