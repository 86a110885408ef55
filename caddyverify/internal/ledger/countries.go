package ledger

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// OtherCountry is the label of all countries that are not listed.
const OtherCountry = "other"

// DefaultCountries is the list for NewCountries(nil): fifty markets of much
// traffic on every continent. The list is fixed rather than the first fifty seen,
// so that labels are the same after a restart and on every gateway.
func DefaultCountries() []string {
	return strings.Fields(`
		AE AR AT AU BD BE BR CA CH CL
		CN CO CZ DE DK EG ES FI FR GB
		GR HK HU ID IE IL IN IT JP KE
		KR MX MY NG NL NO NZ PE PH PK
		PL PT RO SA SE SG TR UA US ZA`)
}

// Countries bounds the values of a country label. The zero value lists none.
type Countries struct{ codes []string }

// NewCountries lists countries by their ISO 3166-1 alpha-2 codes; none stands for
// DefaultCountries.
func NewCountries(codes []string) (Countries, error) {
	if len(codes) == 0 {
		codes = DefaultCountries()
	}
	listed := make([]string, 0, len(codes))
	for _, code := range codes {
		upper := strings.ToUpper(code)
		if len(upper) != 2 || phonenumbers.GetCountryCodeForRegion(upper) == 0 {
			return Countries{}, fmt.Errorf("%q is not the two-letter code of a country with a calling code", code)
		}
		listed = append(listed, upper)
	}
	slices.Sort(listed)
	return Countries{codes: slices.Compact(listed)}, nil
}

// Label returns the listed country of a request's number, or OtherCountry.
func (c Countries) Label(number, country string) string {
	if i, found := slices.BinarySearch(c.codes, CountryOf(number, country)); found {
		return c.codes[i]
	}
	return OtherCountry
}

// Codes returns the listed countries, in alphabetical order.
func (c Countries) Codes() []string { return slices.Clone(c.codes) }

// Labels returns all that Label can return.
func (c Countries) Labels() []string { return append(slices.Clone(c.codes), OtherCountry) }
