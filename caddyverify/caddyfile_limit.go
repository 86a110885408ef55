package caddyverify

import (
	"math"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func limitArg(d *caddyfile.Dispenser) (int, error) {
	value, err := oneArg(d, "limit", "<n>/s|off")
	if err != nil {
		return 0, err
	}
	rate, ok := wholeRate(value)
	if !ok {
		return 0, d.Err("limit: write a whole number per second such as 28/s, or off")
	}
	return rate, nil
}

// limitArgs reads the limit of all calls, and that of searches if there is one.
func limitArgs(d *caddyfile.Dispenser) (all, searches int, err error) {
	switch d.CountRemainingArgs() {
	case 0:
		return 0, 0, d.Err("limit takes one or two arguments: limit <n>/s|off [<n>/s]" + unset)
	case 1:
		all, err = limitArg(d)
		return all, 0, err
	case 2:
	default:
		return 0, 0, d.Err("limit takes one or two arguments: limit <n>/s|off [<n>/s]")
	}
	words := d.RemainingArgs()
	if strings.ContainsAny(strings.Join(words, ""), "{}") {
		return 0, 0, d.Errf("limit: placeholders are read in credentials alone; %s", writeItOut)
	}
	all, ok := wholeRate(words[0])
	searches, too := wholeRate(words[1])
	if !ok || !too || searches < 0 {
		return 0, 0, d.Err("limit: write whole numbers per second such as 28/s 5/s, for all calls and for searches; only the first may be off")
	}
	return all, searches, nil
}

// wholeRate reads a whole number of calls a second; off is negative.
func wholeRate(value string) (int, bool) {
	rate, err := parseRate(value)
	if err != nil || rate != math.Trunc(rate) || rate > math.MaxInt32 {
		return 0, false
	}
	return int(rate), true
}

// parseRate reads a number of calls a second; off is negative.
func parseRate(value string) (float64, error) {
	if value == "off" {
		return -1, nil
	}
	number, ok := strings.CutSuffix(value, "/s")
	if !ok {
		return 0, strconv.ErrSyntax
	}
	rate, err := strconv.ParseFloat(number, 64)
	if err != nil || rate <= 0 {
		return 0, strconv.ErrSyntax
	}
	return rate, nil
}
