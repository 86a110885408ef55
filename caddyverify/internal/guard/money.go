package guard

import (
	"fmt"
	"strings"
)

// Money is an amount.
type Money struct {
	// Micro is in millionths of the currency. Who makes it of what has more decimals rounds up.
	Micro int64
	// Currency is the provider's code, such as EUR.
	Currency string
}

// String returns the amount with at least two decimals, and its currency: 0.05 EUR.
func (m Money) String() string {
	sign, micro := "", m.Micro
	if micro < 0 {
		sign, micro = "-", -micro
	}
	fraction := fmt.Sprintf("%06d", micro%million)
	fraction = fraction[:2] + strings.TrimRight(fraction[2:], "0")
	return strings.TrimRight(fmt.Sprintf("%s%d.%s %s", sign, micro/million, fraction, m.Currency), " ")
}

const (
	million = 1_000_000
	// maxCap is the highest cap: what gateways tell each other stays below store.MaxAmount.
	maxCap = 9_000_000_000 * million
	// maxPrice is the most that is believed of one verification, as in the ledger.
	maxPrice = 1_000_000 * million
)
