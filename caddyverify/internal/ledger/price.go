package ledger

import (
	"strings"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// units is an amount of money in 1e-8 of its currency: prices have up to eight
// decimals, and sums of units are exact.
type units int64

const (
	decimals = 8
	unit     = 100_000_000
	// maxDecimals is how many are read, of which the unit holds the first.
	maxDecimals = 18
	// maxPrice is the most that is believed of one verification. A garbled price
	// could not be taken back from a counter. The weakest currencies stay below it.
	maxPrice = 1_000_000 * unit
	// microUnits are those of a millionth.
	microUnits = unit / 1_000_000
	// fee and messages are what answers tell prices of, by their index in wire.CostKinds.
	fee, messages = 0, 1
	// priceLag is for how long after the end a price may yet grow.
	priceLag = time.Minute
)

// MaxCurrencies is how many currencies a ledger tells apart, the first ones it
// sees; an account has one. The rest are "other", whose sum means nothing but
// that somebody should look.
const MaxCurrencies = 4

const otherCurrency = "other"

// parsePrice reads a decimal number such as 0.10000000. It reports false for
// anything else, and for what is more than maxPrice. A part of a unit counts as one: version 2
// has told prices of nine decimals.
func parsePrice(text string) (units, bool) {
	whole, fraction, dot := strings.Cut(text, ".")
	if whole == "" || dot && fraction == "" || len(whole) > 9 || len(fraction) > maxDecimals || strings.Trim(whole+fraction, "0123456789") != "" {
		return 0, false
	}
	rest := fraction[min(decimals, len(fraction)):]
	fraction = fraction[:len(fraction)-len(rest)]
	var amount units
	for _, digit := range whole + fraction + strings.Repeat("0", decimals-len(fraction)) {
		amount = amount*10 + units(digit-'0')
	}
	if strings.Trim(rest, "0") != "" {
		amount++
	}
	return amount, amount <= maxPrice
}

// price adds what an answer tells of a verification's cost beyond what is known.
// Estimates rise while messages are sent; one that is lower is older, or a
// correction that a counter cannot make.
func (l *Ledger) price(r *record, v *wire.Verification, events *Events) {
	if r.untracked {
		return
	}
	told, total := false, units(0)
	for i, text := range [...]string{fee: v.Price, messages: v.EstimatedPrice} {
		amount, ok := parsePrice(text)
		told = told || ok
		if !ok || amount <= r.told[i] {
			total += r.told[i]
			continue
		}
		currency, ok := l.currency(r, v.Currency)
		if !ok && r.estimated > 0 { // in another one: what is more cannot be told
			total += amount
			continue
		}
		if !ok {
			return
		}
		known := r.told[i]
		if i == fee {
			known = max(known, r.estimated)
		}
		r.told[i] = amount
		total += amount
		if amount <= known {
			continue
		}
		cost := r.cost(wire.CostKinds[i], currency, amount-known)
		if b := l.booking(r); b != nil {
			b.Cost, b.Amount = &cost, int64(amount)
			events.Bookings = append(events.Bookings, *b)
		} else {
			events.Costs = append(events.Costs, cost)
		}
	}
	if told && r.finished {
		t := l.total(r, v.Currency, total)
		t.Final = t.Final || v.PriceFinal
		events.Totals = append(events.Totals, t)
	}
}

// Estimate notes what a verification is taken to have cost, in millionths of a currency, where no price
// is known, and returns that: what is told later is a cost as far as it is more. amount is in the units of
// Booking.Amount. ok is false where there is nothing to note.
func (l *Ledger) Estimate(requestID string, micro int64, currency string) (cost Cost, amount int64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.records.find(requestID)
	if r == nil || r.untracked || r.estimated > 0 || r.told != [len(r.told)]units{} || micro <= 0 {
		return cost, 0, false
	}
	label, ok := l.currency(r, currency)
	if !ok {
		return cost, 0, false
	}
	r.estimated = units(min(micro, maxPrice/microUnits)) * microUnits
	return r.cost(wire.Estimated, label, r.estimated), int64(r.estimated), true
}

func (r *record) cost(kind wire.CostKind, currency string, amount units) Cost {
	return Cost{Currency: currency, Kind: kind, Country: r.country, Caller: r.caller, Amount: float64(amount) / unit}
}

// spent is what a verification is counted to have cost.
func (r *record) spent() units { return max(r.told[fee], r.estimated) + r.told[messages] }

// total is what a verification that has ended is known to have cost: spent in all.
func (l *Ledger) total(r *record, currency string, spent units) Total {
	ended := r.when - l.settings.Keep - r.begun // as it was noticed here
	if r.schedule.end > 0 {
		ended = min(ended, r.schedule.end)
	}
	t := Total{RequestID: r.id, Currency: strings.Clone(currency), Messages: r.schedule.sentBefore(ended, Workflows[r.workflow])}
	t.Micro = int64((spent + microUnits - 1) / microUnits)
	t.Final = r.overdue || l.now()-r.begun-ended >= priceLag
	return t
}

// currency returns the label for a verification's currency. It reports false
// where there is none, or another than before: the difference of the two amounts
// would be no amount.
func (l *Ledger) currency(r *record, code string) (string, bool) {
	if !isCurrency(code) {
		return "", false
	}
	index := uint8(MaxCurrencies + 1)
	for i, known := range l.currencies {
		if known == "" {
			l.currencies[i] = strings.Clone(code)
		}
		if l.currencies[i] == code {
			index = uint8(i + 1)
			break
		}
	}
	if r.currency == 0 {
		r.currency = index
	}
	if r.currency != index {
		return "", false
	}
	if index > MaxCurrencies {
		return otherCurrency, true
	}
	return l.currencies[index-1], true
}

// isCurrency tells whether code can be one of ISO 4217.
func isCurrency(code string) bool {
	for i := range len(code) {
		if code[i] < 'A' || code[i] > 'Z' {
			return false
		}
	}
	return len(code) == 3
}
