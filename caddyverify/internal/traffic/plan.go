package traffic

import (
	"fmt"
	"math/rand/v2"
)

// plan is one verification, decided before it begins, so that a seed's traffic does not
// hang on which call is answered first.
type plan struct {
	// gap is the time until it begins, in units of the average.
	gap    float64
	number string
	brand  string
	// codes are what the user enters, true for the right one, each after so many seconds.
	codes []entry
	// cancel has the application cancel it in the end.
	cancel bool
	// polls is how many times the application searches while the user thinks.
	polls int
	// asks has the application search once all is over.
	asks bool
}

type entry struct {
	right bool
	after float64 // seconds
}

// fates are what becomes of a verification, with their shares in percent: what is left is
// never completed.
var fates = []struct {
	share  float64
	codes  []bool
	cancel bool
}{
	{74, []bool{true}, false},
	{8, []bool{false, true}, false},
	{2, []bool{false, false, false}, false},
	{3, nil, true},
}

// numbers are kept for drama and belong to nobody. Those that force a status of the sandbox
// are not among them.
var numbers = []struct {
	share float64
	pick  func(*rand.Rand) string
}{
	{45, func(r *rand.Rand) string { // Ofcom
		n := 1 + r.IntN(899) // the first is that of the demo's curl lines
		if n >= 100 {
			n += 100 // from 100 to 199 they force a status
		}
		return fmt.Sprintf("447700900%03d", n)
	}},
	{30, func(r *rand.Rand) string { return fmt.Sprintf("3363998%04d", r.IntN(10000)) }}, // ARCEP
	{15, func(r *rand.Rand) string { // NANPA
		areas := []int{202, 212, 312, 415, 617}
		return fmt.Sprintf("1%d55501%02d", areas[r.IntN(len(areas))], r.IntN(100))
	}},
	{10, func(r *rand.Rand) string { return fmt.Sprintf("4917139200%02d", r.IntN(100)) }}, // BNetzA
}

var brands = []string{"Acme Shop", "Acme Login", "Acme Bank", "Acme Support"}

// planOf is the verification number i of a seed.
func planOf(seed, i uint64) plan {
	r := rand.New(rand.NewPCG(seed, i)) //nolint:gosec // it is to repeat
	p := plan{gap: r.ExpFloat64(), brand: brands[r.IntN(len(brands))], number: numberOf(r)}
	share := 100 * r.Float64()
	for _, fate := range fates {
		if share -= fate.share; share < 0 {
			for _, right := range fate.codes {
				p.codes = append(p.codes, entry{right, 4 + min(r.ExpFloat64()*15, 100)})
			}
			p.cancel = fate.cancel
			break
		}
	}
	if r.IntN(3) == 0 {
		p.polls = 1 + r.IntN(6)
	}
	p.asks = r.IntN(2) == 0
	return p
}

func numberOf(r *rand.Rand) string {
	share := 100 * r.Float64()
	for _, n := range numbers {
		if share -= n.share; share < 0 {
			return n.pick(r)
		}
	}
	return numbers[0].pick(r)
}
