package wire

import (
	"strings"
	"testing"
)

func TestParsePath(t *testing.T) {
	for _, test := range []struct {
		path  string
		o     Operation
		f     Format
		route string
	}{
		{"/verify/json", Request, JSON, "/verify/{format}"},
		{"/verify/xml", Request, XML, "/verify/{format}"},
		{"/verify/check/json", Check, JSON, "/verify/check/{format}"},
		{"/verify/check/xml", Check, XML, "/verify/check/{format}"},
		{"/verify/search/json", Search, JSON, "/verify/search/{format}"},
		{"/verify/search/xml", Search, XML, "/verify/search/{format}"},
		{"/verify/control/json", Control, JSON, "/verify/control/{format}"},
		{"/verify/control/xml", Control, XML, "/verify/control/{format}"},
		{"/verify/psd2/json", PSD2, JSON, "/verify/psd2/{format}"},
	} {
		t.Run(test.path, func(t *testing.T) {
			o, f, ok := ParsePath(test.path)
			if !ok || o != test.o || f != test.f {
				t.Errorf("ParsePath says %s, %s, %v", o, f, ok)
			}
			if got := Path(test.o, test.f); got != test.path {
				t.Errorf("Path says %s", got)
			}
			if got := Route(test.o); got != test.route {
				t.Errorf("Route says %s", got)
			}
		})
	}
}

// A base URL that ends in a slash makes two of it.
func TestParsePathMergesSlashes(t *testing.T) {
	for path, want := range map[string]string{
		"//verify/json":             "/verify/json",
		"/verify//json":             "/verify/json",
		"//verify//check//xml":      "/verify/check/xml",
		"////verify///search//json": "/verify/search/json",
	} {
		if o, f, ok := ParsePath(path); !ok || Path(o, f) != want {
			t.Errorf("%s: taken for %s in %s, %v", path, o, f, ok)
		}
	}
}

// What is taken for a path of the API but is no call's gets an answer that names the
// call meant.
func TestNoSuchCall(t *testing.T) {
	for _, test := range []struct {
		path  string
		named string // "" for none in particular
	}{
		{"/Verify/json", "/verify/json"},
		{"/VERIFY/JSON", "/verify/json"},
		{"/verify/Check/XML", "/verify/check/xml"},
		{"/x/../verify/json", "/verify/json"},
		{"/verify/./search/json", "/verify/search/json"},
		{"/verify/check/../json", "/verify/json"},
		{"/verify/x/../../verify/json", "/verify/json"},
		{"/verify/json/", "/verify/json"},
		{"/verify/json//", "/verify/json"},
		{"/verify/check/json ", "/verify/check/json"}, // seen in a public application's settings
		{`/verify\json`, "/verify/json"},
		{"//Verify//Control//xml/", "/verify/control/xml"},
		{"/verify/PSD2/json", "/verify/psd2/json"},
		{"/verify/psd2/xml", "/verify/psd2/json"},
		{"/verify/psd2", ""},
		{"/verify", ""},
		{"/Verify/", ""},
		{"/verify/", ""},
		{"/verify/check", ""},
		{"/verify/request/json", ""},
		{"/verify/447700900000", ""},
		{"/verify/v2/xml", ""},
		{"/verify/../account/get-balance", ""},
		{`/Verify/..\`, ""}, // a name to Caddy, but on Windows
	} {
		t.Run(test.path, func(t *testing.T) {
			if !IsOurs(test.path) {
				t.Fatal("it is left to somebody else")
			}
			fault, o, f := NoSuchCall(test.path)
			if test.named == "" {
				if fault.Cause != UnknownPath || strings.Contains(fault.Error(), "4477") {
					t.Errorf("the answer is %v", fault)
				}
				return
			}
			meant, _, _ := ParsePath(test.named)
			if fault.Cause != MisspelledPath || !strings.Contains(fault.Error(), " "+test.named+";") || o != meant {
				t.Errorf("the answer is %v, for %s in %s", fault, o, f)
			}
		})
	}
	for _, path := range []string{"/verify/v2/xml", "/verify/psd2/xml", "/Verify/check/xml/"} {
		if _, _, f := NoSuchCall(path); f != XML {
			t.Errorf("an answer in %s to %s", f, path)
		}
	}
	for _, path := range []string{"/verify/network-unblock", "/verify/network-unblock/json", "/Verify//Network-Unblock/"} {
		if fault, _, _ := NoSuchCall(path); fault.Cause != NetworkUnblockOff || !strings.Contains(fault.Error(), "fraud") {
			t.Errorf("%s: %v", path, fault)
		}
	}
}

func TestIsOursLeaves(t *testing.T) {
	for _, path := range []string{"", "/", "/verifyx", "/verify.json", "/v2/verify", "/v2/verify/json", "/sms/json", "/account/get-balance", "/x/verify/json", "*"} {
		if IsOurs(path) {
			t.Errorf("%q is taken for a path of the API", path)
		}
	}
}

func TestParsePathRefuses(t *testing.T) {
	for _, path := range []string{
		"",
		"/",
		"json",
		"/verify",
		"/verify/",
		"verify/json",
		"/verify/json/",
		"/verify/json//",
		"/verify/check",
		"/verify/check/",
		"/verify/check/json/",
		"/verify/check/json/json",
		"/verify/check/check/json",
		"/verify/request/json",
		"/verify/psd2/xml", // the API has no XML for it
		"/verify/psd2",
		"/verify/network-unblock",
		"/verify/network-unblock/json",
		"/v2/verify",
		"/v2/verify/json",
		"/verify/v2/json",
		"/sms/json",
		"/account/get-balance",
		"/Verify/json",
		"/VERIFY/JSON",
		"/verify/JSON",
		"/verify/Xml",
		"/verify/Check/json",
		"/verify/check/JSON",
		"/verify.json",
		"/verify/.json",
		"/verify/check.json",
		"/verify/json.xml",
		"/verify/yaml",
		"/verify/jsonp",
		"/verify/xmlx",
		"/verify/ json",
		"/verify/json ",
		"/verify/json\n",
		"/verify/json\x00",
		"/verify/json?",
		"/verify/json;",
		"/verify/json;v=1",
		"/verify/json#",
		"/verify/./json",
		"/verify/../verify/json",
		"/verify/../account/json",
		"/verify/check/../json",
		"/verify/%2e%2e/json",
		"/verify/%2E/json",
		"/verify%2fjson",
		"/verify/check%2fjson",
		"/verify/%6ason",
		"/%76erify/json",
		"/verify/%63heck/json",
		"/verify/check%00/json",
		`/verify\json`,
		`/verify/check\json`,
		"/verify/jsоn", // a Cyrillic letter
		"https://api.nexmo.com/verify/json",
	} {
		t.Run(path, func(t *testing.T) {
			if o, f, ok := ParsePath(path); ok || o != 0 || f != 0 {
				t.Errorf("taken for %s in %s, %v", o, f, ok)
			}
		})
	}
}

func TestOperation(t *testing.T) {
	words := map[string]bool{}
	for _, o := range Operations {
		words[o.String()] = true
		if o.Starts() != (o == Request || o == PSD2) {
			t.Errorf("%s: Starts is %v", o, o.Starts())
		}
		if o.Repeatable() != (o == Search) {
			t.Errorf("%s: Repeatable is %v", o, o.Repeatable())
		}
	}
	for _, word := range []string{"request", "check", "search", "control", "psd2"} {
		if !words[word] {
			t.Errorf("no operation is called %s", word)
		}
	}
	if JSON.ContentType() != "application/json" || XML.ContentType() != "text/xml" {
		t.Errorf("the content types are %s and %s", JSON.ContentType(), XML.ContentType())
	}
}
