package country

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// Other is the label of all countries that are not listed.
const Other = "other"

// Default is the list for NewList(nil): twelve markets of much traffic on every
// continent. They are few, since each has eight series. The list is fixed rather than the
// first twelve seen, so that labels are the same after a restart and on every gateway, and
// nobody makes a country disappear by requests to others.
func Default() []string {
	return strings.Fields("AU BR CA DE ES FR GB ID IN IT US ZA")
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
