package country

import (
	"slices"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"
)

func TestOf(t *testing.T) {
	tests := []struct {
		name, number, country, want string
	}{
		{"drama", "447700900000", "", "GB"},
		{"drama with its country", "447700900000", "GB", "GB"},
		{"drama, national", "07700900000", "GB", "GB"},
		{"drama, of an island", "07700900000", "JE", "JE"},
		{"drama with a plus", "+44 7700 900-000", "", "GB"},
		{"drama with 00", "00447700900000", "", "GB"},
		{"mobile", "447400123456", "", "GB"},
		{"Jersey", "447797712345", "", "JE"},
		{"Guernsey by its number", "07781123456", "GB", "GG"},
		{"US", "12015550123", "", "US"},
		{"fiction", "15555550100", "", "US"},
		{"Canada", "15062345678", "", "CA"},
		{"Jamaica", "18762101234", "", "JM"},
		{"US, national", "2015550123", "US", "US"},
		{"Russia", "79123456789", "", "RU"},
		{"Kazakhstan", "77710009998", "", "KZ"},
		{"Germany", "4915123456789", "", "DE"},
		{"Germany, national", "015123456789", "de", "DE"},
		{"Germany, national without 0", "15123456789", "DE", "DE"},
		{"another country's, with a plus", "+33612345678", "GB", "FR"},
		{"the country's code comes with it", "33612345678", "FR", "FR"},
		{"Kosovo", "38343201234", "", "XK"},
		{"country that is none", "447700900000", "ZZ", "GB"},
		{"country that is no code", "447700900000", "United Kingdom", "GB"},
		{"world", "447700900000", "001", "GB"},
		{"toll-free without a country", "80012345678", "", ""},
		{"satellite", "881612345678", "", ""},
		{"unassigned code", "99912345678", "", ""},
		{"empty", "", "", ""},
		{"empty with a country", "", "SE", "SE"},
		{"letters", "call me", "", ""},
		{"letters with a country", "call me", "SE", "SE"},
		{"too short", "4", "", ""},
		{"too long", strings.Repeat("4", 1000), "", ""},
		{"zeros", strings.Repeat("0", 12), "", ""},
		{"pluses", "++++", "", ""},
		{"bytes", "\xff\x00+\xf0", "\xff\xff", ""},
		{"phone-context", "7700900000;phone-context=+44", "", "KZ"}, // not read as more than digits
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Of(tt.number, tt.country); got != tt.want {
				t.Errorf("Of(%q, %q) = %q, want %q", tt.number, tt.country, got, tt.want)
			}
		})
	}
}

func TestList(t *testing.T) {
	all, err := NewList(nil)
	if err != nil {
		t.Fatal(err)
	}
	if labels := all.Labels(); len(labels) != 13 || !slices.IsSorted(labels[:12]) || labels[12] != Other {
		t.Errorf("%d labels by default: %v", len(labels), labels)
	}
	few, err := NewList([]string{"us", "GB", "US"})
	if err != nil {
		t.Fatal(err)
	}
	if got := few.Labels(); !slices.Equal(got, []string{"GB", "US", "other"}) {
		t.Errorf("Labels() = %v", got)
	}
	for number, want := range map[string]string{"447700900000": "GB", "12015550123": "US", "4915123456789": "other", "": "other"} {
		if got := few.Label(number, ""); got != want {
			t.Errorf("Label(%q) = %q, want %q", number, got, want)
		}
	}
	if got := (List{}).Label("447700900000", "GB"); got != Other {
		t.Errorf("the zero List says %q", got)
	}
	for _, code := range []string{"", "G", "GBR", "UK", "XX", "ZZ", "001", "other"} {
		if _, err := NewList([]string{"US", code}); err == nil {
			t.Errorf("NewList takes %q", code)
		}
	}
}

// Whatever a client sends, the answer is a country or none.
func FuzzOf(f *testing.F) {
	for _, seed := range [][2]string{{"447700900000", ""}, {"07700900000", "GB"}, {"+1 (201) 555-0123", "us"}, {"\x00", "\xff\xff"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, number, country string) {
		got := Of(number, country)
		if got == "" {
			return
		}
		if _, err := NewList([]string{got}); err != nil || got != strings.ToUpper(got) {
			t.Errorf("Of(%q, %q) = %q", number, country, got)
		}
	})
}

// TestParse: one number has one form, however it is written.
func TestParse(t *testing.T) {
	for _, tt := range []struct{ number, country, digits, region string }{
		{"447400123456", "", "447400123456", "GB"},
		{"+44 7400 123-456", "", "447400123456", "GB"},
		{"00447400123456", "", "447400123456", "GB"},
		{"07400123456", "GB", "447400123456", "GB"},
		{"7400123456", "gb", "447400123456", "GB"},
		{"4407400123456", "", "447400123456", "GB"},
		{"49015112345678", "", "4915112345678", "DE"},
		{"390612345678", "", "390612345678", "IT"}, // this zero is a part of it
		{"201-555-0123", "US", "12015550123", "US"},
		{"999999999999", "", "999999999999", ""},
		{"", "", "", ""},
		{"+", "GB", "", "GB"},
	} {
		if digits, region := Parse(tt.number, tt.country); digits != tt.digits || region != tt.region {
			t.Errorf("Parse(%q, %q) = %q, %q, want %q, %q", tt.number, tt.country, digits, region, tt.digits, tt.region)
		}
	}
}

func TestType(t *testing.T) {
	for kind, want := range map[phonenumbers.PhoneNumberType]string{
		phonenumbers.MOBILE: "", phonenumbers.TOLL_FREE: "", phonenumbers.PREMIUM_RATE: "premium",
		phonenumbers.SHARED_COST: "shared", phonenumbers.UAN: "uan",
	} {
		example := phonenumbers.GetExampleNumberForType("DE", kind)
		digits := "49" + phonenumbers.GetNationalSignificantNumber(example)
		if got := Type(digits); got != want {
			t.Errorf("Type(%q) = %q, want %q", digits, got, want)
		}
	}
	if got := Type("1"); got != "" {
		t.Errorf("what is no number is %q", got)
	}
}

func TestIsRange(t *testing.T) {
	for digits, want := range map[string]bool{
		"4": true, "44": true, "44770090": true, "447700": true, "947123": true, "49151234": true, "1212555": true, "881": true, "35461": true,
		"": false, "447400123456": false, "4474001234567": false, "12125550123": false, "3546112345": false, "6581234567": false, "44740012345678901234": false, "447911654321": false,
	} {
		if got := IsRange(digits); got != want {
			t.Errorf("%q: %t", digits, got)
		}
	}
}
