package country

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// Other is the label of all countries that are not listed.
const Other = "other"

// Default is the list for NewList(nil): fifty markets of much traffic on every
// continent. The list is fixed rather than the first fifty seen, so that labels are the
// same after a restart and on every gateway.
func Default() []string {
	return strings.Fields(`
		AE AR AT AU BD BE BR CA CH CL
		CN CO CZ DE DK EG ES FI FR GB
		GR HK HU ID IE IL IN IT JP KE
		KR MX MY NG NL NO NZ PE PH PK
		PL PT RO SA SE SG TR UA US ZA`)
}

// List bounds the values of a country label. The zero value lists none.
type List struct{ codes []string }

// NewList lists countries by their ISO 3166-1 alpha-2 codes; none stands for Default.
func NewList(codes []string) (List, error) {
	if len(codes) == 0 {
		codes = Default()
	}
	listed := make([]string, 0, len(codes))
	for _, code := range codes {
		upper := strings.ToUpper(code)
		if len(upper) != 2 || phonenumbers.GetCountryCodeForRegion(upper) == 0 {
			return List{}, fmt.Errorf("%q is not the two-letter code of a country with a calling code", code)
		}
		listed = append(listed, upper)
	}
	slices.Sort(listed)
	return List{codes: slices.Compact(listed)}, nil
}

// Label returns the listed country of a request's number, or Other.
func (l List) Label(number, country string) string {
	if i, found := slices.BinarySearch(l.codes, Of(number, country)); found {
		return l.codes[i]
	}
	return Other
}

// Codes returns the listed countries, in alphabetical order.
func (l List) Codes() []string { return slices.Clone(l.codes) }

// Labels returns all that Label can return.
func (l List) Labels() []string { return append(slices.Clone(l.codes), Other) }
