package caddyverify

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
)

// GuardPrice is what one message or call of a verification may cost at most, with all that the
// provider takes for the verification beside it.
type GuardPrice struct {
	// Amount is a decimal number with at most six decimals, such as `0.15`. Required.
	Amount string `json:"amount,omitempty"`

	// Currency is the one that the provider bills in, such as `EUR`. Required.
	Currency string `json:"currency,omitempty"`

	// Countries are those that it is the price of, as ISO 3166-1 alpha-2 codes. Default: all that
	// have none of their own.
	Countries []string `json:"countries,omitempty"`
}

const (
	priceExample  = "price 0.15 EUR"
	budgetExample = "budget 50 EUR/day 1000 EUR/month"
	// maxWhole is how many digits an amount may have before its point.
	maxWhole = 9
	// maxPrice is the highest price, in millionths, as much as is believed of a verification.
	maxPrice = 1_000_000 * 1_000_000
)

// money reads an amount, exactly.
func money(amount, currency string) (m guard.Money, ok bool) {
	whole, fraction, dot := strings.Cut(amount, ".")
	if whole == "" || dot && fraction == "" || len(whole) > maxWhole || len(fraction) > 6 ||
		strings.Trim(whole+fraction, "0123456789") != "" ||
		len(currency) != 3 || strings.Trim(currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return m, false
	}
	for _, digit := range whole + (fraction + "000000")[:6] {
		m.Micro = m.Micro*10 + int64(digit-'0')
	}
	m.Currency = currency
	return m, m.Micro > 0
}

// budgets reads values such as 50 EUR/day.
func budgets(r *guard.RuleSet, m guard.Mode, values []string) error {
	r.Budgets = nil
	err := each(values, func(written string) bool {
		amount, rest, _ := strings.Cut(written, " ")
		currency, period, _ := strings.Cut(rest, "/")
		b := guard.Budget{Mode: m, Period: guard.Day}
		if period == guard.Month.String() {
			b.Period = guard.Month
		}
		var ok bool
		b.Cap, ok = money(amount, currency)
		r.Budgets = append(r.Budgets, b)
		return ok && period == b.Period.String()
	}, "not an amount above 0 with at most six decimals, a currency in capitals, and day or month")
	if err != nil {
		return err
	}
	slices.SortFunc(r.Budgets, func(a, b guard.Budget) int { return int(a.Period) - int(b.Period) })
	for i := 1; i < len(r.Budgets); i++ {
		if r.Budgets[i].Period == r.Budgets[i-1].Period {
			return fmt.Errorf("there are two for a %s", r.Budgets[i].Period)
		}
	}
	return nil
}

// inPairs puts amounts and what follows them together, as values have them.
func inPairs(words []string) (pairs []string) {
	for pair := range slices.Chunk(words, 2) {
		pairs = append(pairs, strings.Join(pair, " "))
	}
	return pairs
}

// prices are those of an account. Its errors show no value.
func (g *Guard) prices() (p guard.Prices, err error) {
	for _, one := range g.Prices {
		price, ok := money(one.Amount, one.Currency)
		switch {
		case !ok || price.Micro > maxPrice:
			return p, errors.New("it is not an amount above 0 and up to a million, with at most six decimals, and a currency in capitals; write for example: " + priceExample)
		case p.Any.Currency != "" && p.Any.Currency != price.Currency:
			return p, fmt.Errorf("there are prices in %s and %s, and an account is billed in one currency; write all in that", p.Any.Currency, price.Currency)
		}
		p.Any.Currency = price.Currency
		if len(one.Countries) == 0 {
			if p.Any.Micro != 0 {
				return p, errors.New("there are two without a country; name the countries that one of them is of, or leave it out")
			}
			p.Any = price
			continue
		}
		codes, err := countryCodes(one.Countries)
		if err != nil {
			return p, fmt.Errorf("%w; write for example: %s GB DE", err, priceExample)
		}
		for _, code := range codes {
			if _, has := p.Of[code]; has {
				return p, fmt.Errorf("%s has two; leave one out", code)
			}
			if p.Of == nil {
				p.Of = map[string]int64{}
			}
			p.Of[code] = price.Micro
		}
	}
	return p, nil
}

// priced tells of a budget that has no price to go by, of the account and of some callers: it would
// refuse all, or miss what is spent.
func priced(s *guard.Settings, callers []string) error {
	of := func(list []guard.Budget) error {
		for _, b := range list {
			switch said := s.Prices.Any; {
			case b.Mode == guard.Off:
			case said.Currency != "" && said.Currency != b.Cap.Currency:
				return fmt.Errorf("budget: it is in %s, and the prices of the account are in %s; write both in the currency that the provider bills in", b.Cap.Currency, said.Currency)
			case said.Micro == 0:
				return fmt.Errorf("budget: the account has no price to reckon with; write into the guard of the account what one message to any country may cost at most, for example: price 0.15 %s", b.Cap.Currency)
			}
		}
		return nil
	}
	if err := of(s.Account.Budgets); err != nil {
		return err
	}
	for _, name := range callers {
		if err := of(s.Callers[name].Budgets); err != nil {
			return fmt.Errorf("caller %s: %w", name, err)
		}
	}
	return nil
}

// samePrices tells whether two lists mean the same.
func samePrices(one, other *Guard) bool {
	a, errA := one.prices()
	b, errB := other.prices()
	return errA == nil && errB == nil && reflect.DeepEqual(a, b)
}

// unmarshalPrice reads a line such as price 0.05 EUR GB DE.
func (g *Guard) unmarshalPrice(words []string) error {
	if len(words) < 2 {
		return errors.New("price takes an amount, a currency and countries, if it is not of all: " + priceExample + unset)
	}
	price := GuardPrice{Amount: words[0], Currency: words[1]}
	if len(words) > 2 {
		price.Countries = words[2:]
	}
	g.Prices = append(g.Prices, price)
	return nil
}
