package main

import (
	"fmt"
	"time"
)

// attack is one, or an accident.
type attack struct {
	name string
	make func(m *month, a *attack)
}

var attacks = []attack{
	{"one range", func(m *month, a *attack) { // 5 a second, over an application that makes no checks
		lk := countries["LK"]
		r := lk.place(m.random.IntN(lk.ranges))
		for i := range 5 * 3600 {
			m.hit(a, apps[3], lk.inRange(r, m.random.IntN(10_000)), 8*day+2*time.Hour+time.Duration(i)*time.Second/5, m.address(20), 0)
		}
	}},
	{"a premium country", func(m *month, a *attack) { // 2 a second
		for i := range 2 * 3 * 3600 {
			m.hit(a, apps[0], m.from(400, "ID"), 6*day+3*time.Hour+time.Duration(i)*time.Second/2, m.address(50), 0)
		}
	}},
	{"slow pumping", func(m *month, a *attack) { // one in 40 seconds, for ten days
		for at := time.Duration(0); at < 10*day; at += time.Duration(20+m.random.IntN(40)) * time.Second {
			m.hit(a, apps[1], m.from(700, "AZ", "KG", "TJ"), 4*day+at, m.address(500), 0)
		}
	}},
	{"a retry loop", func(m *month, a *attack) { // 30 users, each every 20 seconds, for five hours
		for range 30 {
			who := m.someone(apps[2])
			for at := time.Duration(m.random.IntN(20)) * time.Second; at < 5*time.Hour; at += 20 * time.Second {
				m.add(start{at: 10*day + 14*time.Hour + at, app: apps[2], number: who, attack: a}.ends("cancelled", 10*day+14*time.Hour+at+19*time.Second))
			}
		}
	}},
	{"a botnet", func(m *month, a *attack) { // one a second for six hours, of which a fifth is verified
		for i := range 6 * 3600 {
			m.hit(a, apps[2], m.from(100, "BD", "ID", "PK", "NG", "LK", "AZ"), 13*day+9*time.Hour+time.Duration(i)*time.Second, m.address(20_000), 0.2)
		}
	}},
}

// hit is a start of an attack, whose code is entered with some probability.
func (m *month) hit(a *attack, of *app, n number, at time.Duration, address string, converts float64) {
	s := start{at: at, app: of, number: n, attack: a}
	if of.addresses {
		s.address = address
	}
	if m.random.Float64() < converts {
		s = s.ends("success", at+time.Duration(10+m.random.IntN(30))*time.Second)
	}
	m.add(s)
}

// from is a number of one of so many ranges of each country.
func (m *month) from(ranges int, of ...string) number {
	c := countries[of[m.random.IntN(len(of))]]
	return c.inRange(c.place(m.random.IntN(ranges)*c.ranges/ranges), m.random.IntN(10_000))
}

func (m *month) address(n int) string {
	i := m.random.IntN(n)
	return fmt.Sprintf("172.%d.%d.1", i/256, i%256)
}
