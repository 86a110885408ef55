package country

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/nyaruka/phonenumbers"
)

// TestByPrefix compares what the prefix tells with what the library makes of the whole
// number: examples of all countries and kinds, as they are, too short, too long, with
// other digits, and as they are dialled within the country.
func TestByPrefix(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	known, all := 0, 0
	expect := func(digits string) {
		t.Helper()
		country := []string{"", "GB", "us", "ZZ", "United Kingdom"}[all%5]
		if whole, _ := Parse(digits, country); Digits(digits, country) != whole {
			t.Errorf("Digits(%s, %s) = %s, want those of Parse, %s", digits, country, Digits(digits, country), whole)
		}
		p := byPrefix(digits)
		if all++; len(p.regions) == 0 || len(p.regions) > 1 && !p.plain {
			return
		}
		known++
		got := p.region()
		e164, want := parse(digits, "+"+digits, "", 0)
		if got != want {
			t.Errorf("+%s is of %s by its prefix, of %s by the library", digits, got, want)
		}
		if got, _ := Parse(digits, ""); got != e164 {
			t.Errorf("+%s is %s, by the library %s", digits, got, e164)
		}
	}
	for region := range phonenumbers.GetSupportedRegions() {
		for kind := phonenumbers.FIXED_LINE; kind <= phonenumbers.VOICEMAIL; kind++ {
			example := phonenumbers.GetExampleNumberForType(region, kind)
			if example == nil {
				continue
			}
			code := strconv.Itoa(int(example.GetCountryCode()))
			national := phonenumbers.GetNationalSignificantNumber(example)
			for _, n := range []string{national, national[:2], national[:len(national)-1], national + "1", "0" + national, "1" + national, "8" + national, national + national} {
				expect(code + n)
			}
			for range 50 {
				other := []byte(national)
				for range 1 + random.IntN(len(other)) {
					other[random.IntN(len(other))] = byte('0' + random.IntN(10))
				}
				expect(code + string(other))
			}
		}
	}
	if known < all/2 {
		t.Errorf("only %d of %d are known by their prefix", known, all)
	}
}
