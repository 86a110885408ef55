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
	digits, international := digitsOf(number)
	region := strings.ToUpper(country)
	code := 0
	if len(region) == 2 {
		code = phonenumbers.GetCountryCodeForRegion(region)
	}
	if code == 0 {
		digits = strings.TrimPrefix(digits, "00")
		if found := byPrefix(digits); found != "" {
			return found
		}
		return parse("+"+digits, "", 0)
	}
	if international {
		digits = "+" + digits
	}
	return parse(digits, region, code)
}

// byPrefix looks an international number up by its calling code, as nearly all come, in
// a third of the time that parse takes. It returns "" where it takes more to know.
func byPrefix(digits string) string {
	for length := 1; length <= 3 && length < len(digits); length++ {
		code, err := strconv.Atoi(digits[:length])
		if err != nil || code == 0 {
			return ""
		}
		regions := phonenumbers.GetRegionCodesForCountryCode(code)
		if len(regions) == 0 {
			continue
		}
		national := digits[length:]
		if len(national) < shortest || len(national) > longest {
			return ""
		}
		if len(regions) == 1 {
			return alpha2(regions[0])
		}
		number, err := strconv.ParseUint(national, 10, 64)
		if err != nil || strings.Contains("018", national[:1]) {
			return "" // perhaps a number as it is dialled within the country
		}
		found := phonenumbers.GetRegionCodeForNumber(&phonenumbers.PhoneNumber{
			CountryCode: new(int32(code)), NationalNumber: new(number), //nolint:gosec // of three digits
		})
		return alpha2(cmp.Or(found, regions[0]))
	}
	return ""
}

// A national number has so many digits (ITU-T E.164, and the library's own bounds).
const shortest, longest = 4, 15

// parse asks the library, which takes 15 to 40 µs. code is the calling code of region,
// or 0.
func parse(digits, region string, code int) string {
	parsed, err := phonenumbers.Parse(digits, region)
	if err != nil {
		return region
	}
	if found := alpha2(phonenumbers.GetRegionCodeForNumber(parsed)); found != "" {
		return found
	}
	calling := int(parsed.GetCountryCode())
	if calling == code {
		return region
	}
	return alpha2(phonenumbers.GetRegionCodeForCountryCode(calling))
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
