package wire

import (
	"regexp"
	"strings"
	"testing"
)

func TestRedactURI(t *testing.T) {
	const id = "cc121958d8fb4368aa3bb762bb9a0f74"
	tests := []struct{ name, uri, want string }{
		{"a request", "/verify/json?number=447700900000&brand=Acme", "/verify/json?number=REDACTED&brand=REDACTED"},
		{"a check", "/verify/check/xml?request_id=" + id + "&code=1234", "/verify/check/xml?request_id=" + id + "&code=REDACTED"},
		{"a search for two", "/verify/search/json?request_ids=" + id + "&request_ids=" + id, "/verify/search/json?request_ids=" + id + "&request_ids=" + id},
		{"a control", "/verify/control/json?request_id=" + id + "&cmd=cancel", "/verify/control/json?request_id=" + id + "&cmd=cancel"},
		{"another command", "/verify/control/json?cmd=447700900000", "/verify/control/json?cmd=REDACTED"},
		{"credentials", "/verify/json?api_key=k&api_secret=s", "/verify/json?api_key=REDACTED&api_secret=REDACTED"},
		{"a number for an id", "/verify/search/json?request_id=447700900000123", "/verify/search/json?request_id=REDACTED"},
		{"an unknown name", "/verify/json?447700900000=1&Number=2", "/verify/json?REDACTED=REDACTED&REDACTED=REDACTED"},
		{"no name", "/verify/json?447700900000", "/verify/json?REDACTED=REDACTED"},
		{"an escaped name", "/verify/json?%6Eumber=447700900000", "/verify/json?number=REDACTED"},
		{"a bad escape", "/verify/json?request_id=" + id + "&code=%zz", "/verify/json?REDACTED"},
		{"a semicolon", "/verify/json?code=1;number=2", "/verify/json?REDACTED"},
		{"a fragment", "/verify/json#447700900000", "/verify/json"},
		{"no query", "/verify/check/json", "/verify/check/json"},
		{"an empty query", "/verify/check/json?", "/verify/check/json"},
		{"no call", "/verify/447700900000?a=b", "/verify/REDACTED?REDACTED=REDACTED"},
		{"no call, otherwise spelt", "/Verify//447700900000", "/verify/REDACTED"},
		{"no call, by a detour", "/x/../verify/447700900000", "/verify/REDACTED"},
		{"no call, escaped", "/%76erify/447700900000", "/verify/REDACTED"},
		{"a bad escape in the path", "/%zz/447700900000", "/verify/REDACTED"},
		{"two slashes", "//verify//check/json?code=1234", "//verify//check/json?code=REDACTED"},
		{"another path", "/metrics", "/metrics"},
		{"a number in another path", "/apps/447700900000/v1.2", "/apps/REDACTED/v1.2"},
		{"a number spelt otherwise", "/Verify/%34%34%37%37/x", "/verify/REDACTED"},
		{"a number encoded twice", "/apps/%2534%2534", "/apps/REDACTED"},
		{"a path that cannot be decoded", "/apps/%zz/x", "/verify/REDACTED"},
		{"another path with few digits", "/v2/a%20b/404", "/v2/a%20b/404"},
		{"another path's query", "/metrics?number=447700900000", "/metrics?number=REDACTED"},
		{"a check of v2", "/v2/verify/390f7296-aeff-45ba-8931-84a13f3f76d7", "/v2/verify/390f7296-aeff-45ba-8931-84a13f3f76d7"},
		{"the next of v2", "/v2/verify/" + id + "/next_workflow?to=1", "/v2/verify/" + id + "/next_workflow?REDACTED=REDACTED"},
		{"a number in v2", "/v2/verify/447700900000/next_workflow", "/v2/verify/REDACTED/next_workflow"},
		{"an address in v2", "/v2/verify/someone@example.com", "/v2/verify/REDACTED"},
		{"a template of v2", "/v2/verify/templates/390f7296-aeff-45ba-8931-84a13f3f76d7/template_fragments?page=1", "/v2/verify/templates/390f7296-aeff-45ba-8931-84a13f3f76d7/template_fragments?REDACTED=REDACTED"},
		{"v2, otherwise spelt", "/V2/x/../verify/447700900000", "/REDACTED/REDACTED/REDACTED/verify/REDACTED"},
		{"v2, escaped", "/v2/verify/%34%34%37%37", "/v2/verify/REDACTED"},
		{"v2 by a detour, escaped", "/v%32/verify/%34%34%37%37", "/v%32/verify/REDACTED"},
		{"an absolute URI", "http://user:password@host/verify/json", "REDACTED"},
		{"all options", "*", "REDACTED"},
		{"nothing", "", "REDACTED"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := RedactURI(test.uri); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestRedactID(t *testing.T) {
	for value, shown := range map[string]bool{
		"cc121958d8fb4368aa3bb762bb9a0f74":     true,
		"390f7296-aeff-45ba-8931-84a13f3f76d7": true,
		strings.Repeat("a", 64):                true,
		strings.Repeat("a", 65):                false,
		"":                                     false,
		"447700900000":                         false,
		"447700900000123":                      false,
		"44770090000012345":                    false, // digits alone
		"44-7700-900-000-12":                   false,
		"+447700900000 abcde":                  false,
		"AKFG-3424":                            false, // a pin_code
		"cc121958d8fb4368_aa3bb762bb9a0f7":     false,
		"cc121958d8fb4368aa3bb762bb9a0f7é":     false,
		"<cc121958d8fb4368aa3bb762bb9a0f>":     false,
		"cc121958d8fb4368aa3bb762bb9a0f\n":     false,
	} {
		want := "REDACTED"
		if shown {
			want = value
		}
		if got := RedactID(value); got != want {
			t.Errorf("%q: got %q", value, got)
		}
	}
}

// FuzzRedactURI looks for a query that gets through with a number in it.
func FuzzRedactURI(f *testing.F) {
	f.Add("/verify/json?number=", "447700900000")
	f.Add("/verify/check/json?request_id=a&code=", "1234")
	f.Add("/verify/json?%", "41=447700900000")
	f.Add("/x?request_ids=a;b&", "1")
	safe := regexp.MustCompile(`^((REDACTED|[a-z_]+)=(REDACTED|cancel|trigger_next_event|[0-9A-Za-z_-]{16,64})(&|$))*$|^REDACTED$`)
	f.Fuzz(func(t *testing.T, before, after string) {
		got := RedactURI(before + after)
		if _, query, found := strings.Cut(got, "?"); found && !safe.MatchString(query) {
			t.Errorf("%q became %q", before+after, got)
		}
	})
}
