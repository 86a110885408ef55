package ledger

import (
	"strconv"
	"strings"
	"sync"

	"github.com/nyaruka/phonenumbers"
)

// CountryOf returns the country that a request's number belongs to, as its
// ISO 3166-1 alpha-2 code, or "" where it belongs to none. country is the
// request's parameter of that name: numbers without it are international ones.
//
// A number that no operator has, as those for drama and documentation, is of the
// country named, or else of the main one with its calling code.
func CountryOf(number, country string) string {
	digits, international := digitsOf(number)
	region := strings.ToUpper(country)
	code := 0
	if len(region) == 2 {
		code = phonenumbers.GetCountryCodeForRegion(region)
	}
	if code == 0 {
		return blocks.countryOf(strings.TrimPrefix(digits, "00"))
	}
	if international {
		digits = "+" + digits
	}
	return parse(digits, region, code)
}

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

// blocks are known to the process: they are the same for every account.
var blocks numberBlocks

// numberBlocks remembers the countries of blocks of numbers. Numbers with the same
// calling code are of one country, or of as many as share it; among those, the first
// digits decide.
type numberBlocks struct {
	mu      sync.RWMutex
	country map[block]string
}

// block is all numbers of a length with the same first digits.
type block struct {
	digits uint64
	length uint8
}

const (
	// blockDigits is how many digits of the number within a country tell which one it
	// is, of those that share a calling code. The longest are Christmas Island's six,
	// with a 0 before them that some write.
	blockDigits = 7
	// maxBlocks bounds the memory, to about 3 MB. A country has some thousands in use.
	maxBlocks = 50_000
	// The lengths of international numbers that the library takes for one whatever
	// their digits are; 15 is the longest of E.164.
	shortest, longest = 7, 15
)

// countryOf returns the country of an international number.
func (b *numberBlocks) countryOf(digits string) string {
	code, regions := callingCode(digits)
	if len(regions) == 0 || len(digits) < shortest || len(digits) > longest {
		return parse("+"+digits, "", 0)
	}
	if len(regions) == 1 {
		return alpha2(regions[0])
	}
	first := digits[:min(code+blockDigits, len(digits))]
	n, _ := strconv.ParseUint(first, 10, 64) // ten digits at most
	key := block{n, uint8(len(digits))}
	b.mu.RLock()
	country, ok := b.country[key]
	b.mu.RUnlock()
	if ok {
		return country
	}
	country = parse("+"+digits, "", 0)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.country == nil || len(b.country) >= maxBlocks {
		b.country = make(map[block]string)
	}
	b.country[key] = country
	return country
}

// callingCode returns the length of a number's calling code and the regions that have
// it, the main one first. No code is the beginning of another.
func callingCode(digits string) (length int, regions []string) {
	code := 0
	if strings.HasPrefix(digits, "0") {
		return 0, nil
	}
	for length < min(3, len(digits)) {
		code = code*10 + int(digits[length]-'0')
		length++
		if regions = phonenumbers.GetRegionCodesForCountryCode(code); len(regions) > 0 {
			return length, regions
		}
	}
	return 0, nil
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
