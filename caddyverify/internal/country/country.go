// Package country tells which country a phone number belongs to, for labels in metrics.
package country

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// Of returns the country that a request's number belongs to, as its
// ISO 3166-1 alpha-2 code, or "" where it belongs to none. country is the
// request's parameter of that name: numbers without it are international ones.
//
// A number that no operator has, as those for drama and documentation, is of the
// country named, or else of the main one with its calling code.
func Of(number, country string) string {
	_, region := Parse(number, country)
	return region
}

// Parse returns a request's number in the one form that all its spellings have: the digits of
// E.164, with the calling code first. What cannot be made so is left as it is. region is Of.
func Parse(number, country string) (digits, region string) {
	digits, international := digitsOf(number)
	region = strings.ToUpper(country)
	code := 0
	if len(region) == 2 {
		code = phonenumbers.GetCountryCodeForRegion(region)
	}
	if code == 0 {
		digits = strings.TrimPrefix(digits, "00")
		if p := byPrefix(digits); p.plain {
			return digits, p.region()
		} else if len(p.regions) == 1 {
			e164, _ := parse(digits, "+"+digits, "", 0)
			return e164, alpha2(p.regions[0])
		}
		return parse(digits, "+"+digits, "", 0)
	}
	written := digits
	if international {
		written = "+" + digits
	}
	return parse(digits, written, region, code)
}

// Digits are those of Parse, without the region, which takes most of its time where several
// countries share a calling code.
func Digits(number, country string) string {
	if len(country) != 2 || phonenumbers.GetCountryCodeForRegion(strings.ToUpper(country)) == 0 {
		digits, _ := digitsOf(number)
		if digits = strings.TrimPrefix(digits, "00"); byPrefix(digits).plain {
			return digits
		}
	}
	digits, _ := Parse(number, country)
	return digits
}

// prefix is what an international number begins with.
type prefix struct {
	code     int
	regions  []string // that share it; none where it takes more to know
	national string   // what follows
	// plain tells that the number is as it should be. What follows the calling code may else
	// begin with digits that are dialled within the country only.
	plain bool
}

// byPrefix looks an international number up by its calling code, as nearly all come, in
// a third of the time that parse takes.
func byPrefix(digits string) (p prefix) {
	for length := 1; length <= 3 && length < len(digits); length++ {
		code, err := strconv.Atoi(digits[:length])
		if err != nil || code == 0 {
			return prefix{}
		}
		p = prefix{code: code, regions: phonenumbers.GetRegionCodesForCountryCode(code), national: digits[length:]}
		if len(p.regions) == 0 {
			continue
		}
		if len(p.national) < shortest || len(p.national) > longest || alpha2(p.regions[0]) == "" {
			return prefix{}
		}
		// Brazil's collect calls begin with 90.
		p.plain = !strings.Contains("018", p.national[:1]) && (len(p.regions) > 1 || !strings.HasPrefix(p.national, "90"))
		return p
	}
	return prefix{}
}

// region is the country of a plain number.
func (p *prefix) region() string {
	if len(p.regions) == 1 {
		return alpha2(p.regions[0])
	}
	number, _ := strconv.ParseUint(p.national, 10, 64) // of at most 15 digits
	found := phonenumbers.GetRegionCodeForNumber(&phonenumbers.PhoneNumber{
		CountryCode: new(int32(p.code)), NationalNumber: new(number), //nolint:gosec // of three digits
	})
	return alpha2(cmp.Or(found, p.regions[0]))
}

// A national number has so many digits (ITU-T E.164, and the library's own bounds).
const shortest, longest = 4, 15

// parse asks the library, which takes 15 to 40 µs. code is the calling code of region,
// or 0.
func parse(digits, written, region string, code int) (e164, country string) {
	parsed, err := phonenumbers.Parse(written, region)
	if err != nil {
		return digits, region
	}
	calling := int(parsed.GetCountryCode())
	e164 = strconv.Itoa(calling) + phonenumbers.GetNationalSignificantNumber(parsed)
	if found := alpha2(phonenumbers.GetRegionCodeForNumber(parsed)); found != "" {
		return e164, found
	}
	if calling == code {
		return e164, region
	}
	return e164, alpha2(phonenumbers.GetRegionCodeForCountryCode(calling))
}

// Type returns "premium", "shared" or "uan" for a number that costs more than others, as Parse
// returns it, and "" for any other. It takes some 20 µs.
func Type(digits string) string {
	parsed, err := phonenumbers.Parse("+"+digits, "")
	if err != nil {
		return ""
	}
	switch phonenumbers.GetNumberType(parsed) {
	case phonenumbers.PREMIUM_RATE:
		return "premium"
	case phonenumbers.SHARED_COST:
		return "shared"
	case phonenumbers.UAN:
		return "uan"
	default:
		return ""
	}
}

// alpha2 drops what is no country: 001 for calling codes such as those of
// satellites, ZZ for unknown ones.
func alpha2(region string) string {
	if len(region) != 2 || region == phonenumbers.UNKNOWN_REGION {
		return ""
	}
	return region
}

// digitsOf returns the digits of a number, which are all that the library gets to
// see of what a client sent, and whether a plus sign precedes them.
func digitsOf(number string) (digits string, plus bool) {
	kept := make([]byte, 0, 32) // most often on the stack
	for i := range len(number) {
		switch c := number[i]; {
		case c == '+' && len(kept) == 0:
			plus = true
		case c >= '0' && c <= '9':
			kept = append(kept, c)
		}
	}
	if len(kept) == len(number) {
		return number, false
	}
	return string(kept), plus
}

// IsRange tells whether digits are how numbers begin, with the calling code first, and not a whole
// number, nor one with more behind it.
func IsRange(digits string) bool {
	const mostOfRange = 11 // E.164 has 15, of which a range leaves four open
	if digits == "" || len(digits) > mostOfRange {
		return false
	}
	for n := 5; n <= len(digits); n++ {
		if parsed, err := phonenumbers.Parse("+"+digits[:n], ""); err == nil && phonenumbers.IsValidNumber(parsed) {
			return false
		}
	}
	return true
}

// Code is the calling code of a country, 0 for what is none.
func Code(region string) int { return phonenumbers.GetCountryCodeForRegion(strings.ToUpper(region)) }
