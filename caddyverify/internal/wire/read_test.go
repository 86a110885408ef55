package wire

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// The request_ids of the documentation's examples.
const (
	idA = "cc121958d8fb4368aa3bb762bb9a0f74"
	idB = "c5037cb8b47449158ed6611afde58990"
	idC = "b6fc2b91d23c43f9b8ea05f9be64415c"
)

// documented tells what each file of testdata/answers says, whatever its format.
// In the list of a search, items stand for themselves.
var documented = map[string]struct {
	Verification
	items []Verification
}{
	"request-0-success":                     {Verification: Verification{RequestID: idA, Status: "0"}},
	"request-1-throttled":                   {Verification: Verification{Status: "1"}},
	"request-2-missing-credentials":         {Verification: Verification{Status: "2"}},
	"request-2-missing-parameter":           {Verification: Verification{Status: "2"}},
	"request-3-invalid-parameter":           {Verification: Verification{Status: "3"}},
	"request-4-invalid-credentials":         {Verification: Verification{Status: "4"}},
	"request-5-internal-error":              {Verification: Verification{Status: "5"}},
	"request-6-not-routed":                  {Verification: Verification{Status: "6"}},
	"request-7-blacklisted-network":         {Verification: Verification{Status: "7", Network: "25503"}},
	"request-7-blocklisted-with-request-id": {Verification: Verification{RequestID: idA, Status: "7", Network: "25503"}},
	"request-8-barred-account":              {Verification: Verification{Status: "8"}},
	"request-9-no-credit":                   {Verification: Verification{Status: "9"}},
	"request-10-concurrent":                 {Verification: Verification{RequestID: idC, Status: "10"}},
	"request-10-concurrent-with-network":    {Verification: Verification{RequestID: idC, Status: "10", Network: "244523"}},
	"request-15-unsupported-network":        {Verification: Verification{Status: "15"}},
	"request-20-pin-code-not-enabled":       {Verification: Verification{Status: "20"}},
	"request-29-demo-account":               {Verification: Verification{Status: "29"}},
	"request-error-empty-request-id":        {Verification: Verification{Status: "2"}},

	"check-0-success":               {Verification: Verification{RequestID: idB, Status: "0", Price: "0.05000000", EstimatedPrice: "0.04675", Currency: "EUR"}},
	"check-0-success-classic":       {Verification: Verification{RequestID: "de37150c89584f36a18925181d62627c", Status: "0", Price: "0.10000000", Currency: "EUR"}},
	"check-1-throttled":             {Verification: Verification{Status: "1"}},
	"check-2-missing-credentials":   {Verification: Verification{Status: "2"}},
	"check-3-invalid-request-id":    {Verification: Verification{Status: "3"}},
	"check-4-bad-credentials":       {Verification: Verification{Status: "4"}},
	"check-5-internal-error":        {Verification: Verification{Status: "5"}},
	"check-6-unknown-or-finished":   {Verification: Verification{Status: "6"}},
	"check-16-wrong-code":           {Verification: Verification{RequestID: idA, Status: "16"}},
	"check-17-too-many-wrong-codes": {Verification: Verification{Status: "17"}},

	"search-1-throttled":                       {Verification: Verification{Status: "1"}},
	"search-2-missing-credentials":             {Verification: Verification{Status: "2"}},
	"search-3-invalid-request-id":              {Verification: Verification{Status: "3"}},
	"search-4-bad-credentials":                 {Verification: Verification{Status: "4"}},
	"search-5-internal-error":                  {Verification: Verification{Status: "5"}},
	"search-6-wrong-parameters":                {Verification: Verification{Status: "6"}},
	"search-6-wrong-parameters.numeric-status": {Verification: Verification{Status: "6"}},
	"search-18-too-many-ids":                   {Verification: Verification{Status: "18"}},
	"search-101-not-found":                     {Verification: Verification{Status: "101"}},
	"search-101-not-found.spec-root":           {Verification: Verification{Status: "101"}},
	"search-in-progress":                       {Verification: Verification{RequestID: idA, Status: "IN PROGRESS", Price: "0.10000000", Currency: "EUR"}},
	"search-in-progress-one-wrong-check":       {Verification: Verification{RequestID: idA, Status: "IN PROGRESS", Price: "0", EstimatedPrice: "0.04675", Currency: "EUR"}},
	"search-success":                           {Verification: Verification{RequestID: idB, Status: "SUCCESS", Price: "0.05000000", EstimatedPrice: "0.04675", Currency: "EUR"}},
	"search-success-price-updated":             {Verification: Verification{RequestID: idB, Status: "SUCCESS", Price: "0.05000000", EstimatedPrice: "0.09350", Currency: "EUR"}},
	"search-failed":                            {Verification: Verification{RequestID: "44a5279b27dd4a638d614d265ad57a77", Status: "FAILED", Price: "0.10000000", Currency: "EUR"}},
	"search-failed-with-error-text":            {Verification: Verification{RequestID: "abcdef0123456789abcdef0123456789", Status: "FAILED"}},
	"search-expired":                           {Verification: Verification{RequestID: idA, Status: "EXPIRED", Price: "0", EstimatedPrice: "0.09350", Currency: "EUR"}},
	"search-cancelled":                         {Verification: Verification{RequestID: idA, Status: "CANCELLED", Price: "0", EstimatedPrice: "0.04675", Currency: "EUR"}},
	"search-multi": {items: []Verification{
		{RequestID: idA, Status: "EXPIRED", Price: "0", EstimatedPrice: "0.09350", Currency: "EUR"},
		{RequestID: idB, Status: "SUCCESS", Price: "0.05000000", EstimatedPrice: "0.04675", Currency: "EUR"},
	}},
	"search-multi-one-open": {items: []Verification{
		{RequestID: idA, Status: "IN PROGRESS", Price: "0.10000000", Currency: "EUR"},
		{RequestID: idB, Status: "EXPIRED", Price: "0.10000000", Currency: "EUR"},
	}},

	"control-0-cancel":              {Verification: Verification{Status: "0"}},
	"control-0-trigger-next-event":  {Verification: Verification{Status: "0"}},
	"control-1-throttled":           {Verification: Verification{Status: "1"}},
	"control-2-missing-credentials": {Verification: Verification{Status: "2"}},
	"control-3-invalid-request-id":  {Verification: Verification{Status: "3"}},
	"control-4-bad-credentials":     {Verification: Verification{Status: "4"}},
	"control-5-internal-error":      {Verification: Verification{Status: "5"}},
	"control-6-unknown-or-finished": {Verification: Verification{Status: "6"}},
	"control-19-cancel-too-early":   {Verification: Verification{Status: "19"}},
	"control-19-cancel-too-late":    {Verification: Verification{Status: "19"}},
	"control-19-no-more-events":     {Verification: Verification{Status: "19"}},
}

// answer is one file of testdata/answers.
type answer struct {
	file, name string
	o          Operation
	f          Format
	body       []byte
}

func answers(t testing.TB) []answer {
	t.Helper()
	paths, err := filepath.Glob("testdata/answers/*.*")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no answers in testdata: %v", err)
	}
	var all []answer
	for _, path := range paths {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		a := answer{file: filepath.Base(path), body: body}
		a.name = strings.TrimSuffix(a.file, filepath.Ext(a.file))
		if filepath.Ext(a.file) == ".xml" {
			a.f = XML
		}
		word, _, _ := strings.Cut(a.name, "-")
		found := false
		for _, o := range Operations {
			if o.String() == word {
				a.o, found = o, true
			}
		}
		if !found {
			t.Fatalf("%s: no operation is called %q", a.file, word)
		}
		all = append(all, a)
	}
	return all
}

// bare is v without the bytes it was read from.
func bare(v Verification) Verification {
	v.Raw = nil
	return v
}

func TestReadDocumentedAnswers(t *testing.T) {
	read := map[string]bool{}
	for _, a := range answers(t) {
		t.Run(a.file, func(t *testing.T) {
			want, ok := documented[a.name]
			if !ok {
				t.Fatal("the table does not tell what this answer says")
			}
			read[a.name] = true
			got, err := Read(a.o, a.f, a.body)
			if err != nil {
				t.Fatal(err, errors.Unwrap(err))
			}
			if v := bare(got.Verification); !reflect.DeepEqual(v, want.Verification) {
				t.Errorf("read %+v, want %+v", v, want.Verification)
			}
			wantRaw := bytes.TrimSpace(a.body)
			if a.f == XML {
				wantRaw = wantRaw[bytes.Index(wantRaw, []byte("?>"))+3:] // the declaration and a line feed
			}
			if !bytes.Equal(got.Raw, wantRaw) {
				t.Errorf("Raw is %q, want %q", got.Raw, wantRaw)
			}

			items := want.items
			if items == nil && want.Status[0] >= 'A' {
				items = []Verification{want.Verification}
			}
			if got.List != (want.items != nil) {
				t.Errorf("List is %v", got.List)
			}
			if len(got.Found) != len(items) {
				t.Fatalf("found %d, want %d", len(got.Found), len(items))
			}
			for i, v := range got.Found {
				if !reflect.DeepEqual(bare(*v), items[i]) {
					t.Errorf("item %d is %+v, want %+v", i, bare(*v), items[i])
				}
				again, err := Read(Search, a.f, One(a.f, v.Raw))
				if err != nil {
					t.Errorf("item %d cannot be read by itself: %v", i, err)
				} else if !reflect.DeepEqual(bare(again.Verification), items[i]) {
					t.Errorf("item %d by itself says %+v, want %+v", i, bare(again.Verification), items[i])
				}
			}
		})
	}
	for name := range documented {
		if !read[name] {
			t.Errorf("%s is in no file", name)
		}
	}
}

// A cut anywhere either leaves the answer whole (the last line feed) or unreadable.
func TestReadCutAnswers(t *testing.T) {
	for _, a := range answers(t) {
		t.Run(a.file, func(t *testing.T) {
			whole, err := Read(a.o, a.f, a.body)
			if err != nil {
				t.Fatal(err)
			}
			end := len(bytes.TrimSpace(a.body))
			for n := range a.body {
				got, err := Read(a.o, a.f, a.body[:n:n])
				if n < end {
					isUnreadable(t, got, err)
				} else if err != nil || !reflect.DeepEqual(got, whole) {
					t.Errorf("cut at %d: %+v, %v", n, got, err)
				}
			}
		})
	}
}

func isUnreadable(t *testing.T, got Reading, err error) {
	t.Helper()
	var fault *Fault
	if !errors.As(err, &fault) {
		t.Fatalf("read as %+v, error %v, want a fault", got, err)
	}
	if fault.Cause != AnswerUnreadable || !fault.MayHaveSent || fault.Err == nil {
		t.Errorf("fault %+v, want %s with the error behind it, perhaps sent", fault, AnswerUnreadable)
	}
	if !reflect.DeepEqual(got, Reading{}) {
		t.Errorf("an unreadable answer still says %+v", got)
	}
}

// hostile are answers that no reader may take for one, with the nearest good one
// in the comment where it is not plain.
var hostile = []struct {
	name string
	o    Operation
	f    Format
	body string
}{
	{"nothing", Check, JSON, ``},
	{"blank", Check, JSON, "\n"},
	{"HTML", Check, JSON, "<html><head><title>502 Bad Gateway</title></head></html>"},
	{"text", Check, JSON, "OK"},
	{"XML", Check, JSON, `<verify_response><status>0</status></verify_response>`},
	{"null", Check, JSON, `null`},
	{"array", Check, JSON, `[{"status":"0"}]`},
	{"string", Check, JSON, `"0"`},
	{"empty object", Check, JSON, `{}`},
	{"no status", Check, JSON, `{"request_id":"a","price":"0.1"}`},
	{"status deeper only", Search, JSON, `{"request_id":"a","checks":[{"status":"VALID"}]}`},
	{"problem", Check, JSON, `{"type":"https://example.com/unauthorized","title":"Unauthorized","detail":"No"}`},
	{"two statuses", Check, JSON, `{"status":"0","status":"5"}`},
	{"two equal statuses", Check, JSON, `{"status":"0","status":"0"}`},
	{"two statuses, one escaped", Check, JSON, `{"status":"0","st\u0061tus":"5"}`},
	{"two statuses, one for readers that fold case", Check, JSON, `{"status":"0","Status":"5"}`},
	{"two statuses, one first and folded by Unicode", Check, JSON, `{"ſtatus":"5","status":"0"}`},
	{"status for readers that fold case", Check, JSON, `{"STATUS":"0"}`},
	{"two prices", Check, JSON, `{"status":"0","price":"0.1","price":"0.2"}`},
	{"two other members", Check, JSON, `{"status":"0","x":1,"x":2}`},
	{"two members deeper", Search, JSON, `{"status":"SUCCESS","checks":[{"code":"1","code":"2"}]}`},
	{"status object", Check, JSON, `{"status":{"code":"0"}}`},
	{"status array", Check, JSON, `{"status":["0"]}`},
	{"status true", Check, JSON, `{"status":true}`},
	{"status false", Check, JSON, `{"status":false}`},
	{"status null", Check, JSON, `{"status":null}`},
	{"status empty", Check, JSON, `{"status":""}`},
	{"status blank", Search, JSON, `{"status":" "}`},
	{"status underscore", Search, JSON, `{"status":"_"}`},
	{"status with space after", Check, JSON, `{"status":"0 "}`},
	{"status word with space after", Search, JSON, `{"status":"SUCCESS "}`},
	{"status lower case", Search, JSON, `{"status":"success"}`},
	{"status word with a digit", Search, JSON, `{"status":"SUCCESS1"}`},
	{"status of five digits", Check, JSON, `{"status":"10000"}`},
	{"status padded", Check, JSON, `{"status":"00"}`},
	{"status signed", Check, JSON, `{"status":"-0"}`},
	{"status number negative", Check, JSON, `{"status":-1}`},
	{"status number with fraction", Check, JSON, `{"status":0.0}`},
	{"status number with exponent", Check, JSON, `{"status":0e0}`},
	{"status digits of another script", Check, JSON, `{"status":"٠"}`},
	{"status of 33 letters", Search, JSON, `{"status":"` + strings.Repeat("A", 33) + `"}`},
	{"word for a request", Request, JSON, `{"status":"SUCCESS"}`},
	{"word for a check", Check, JSON, `{"status":"SUCCESS"}`},
	{"word for a control", Control, JSON, `{"status":"CANCELLED"}`},
	{"list for a check", Check, JSON, `{"verification_requests":[{"status":"SUCCESS"}]}`},
	{"empty list for a request", Request, JSON, `{"verification_requests":[]}`},
	{"list and status", Search, JSON, `{"verification_requests":[],"status":"0"}`},
	{"list and status null", Search, JSON, `{"verification_requests":[],"status":null}`},
	{"status object for readers that fold case", Check, JSON, `{"status":"0","Status":{}}`},
	{"list item without status", Search, JSON, `{"verification_requests":[{"status":"SUCCESS"},{"request_id":"a"}]}`},
	{"list item empty", Search, JSON, `{"verification_requests":[{}]}`},
	{"list item null", Search, JSON, `{"verification_requests":[null]}`},
	{"list item string", Search, JSON, `{"verification_requests":["SUCCESS"]}`},
	{"list in the list", Search, JSON, `{"verification_requests":[[{"status":"SUCCESS"}]]}`},
	{"list item with two statuses", Search, JSON, `{"verification_requests":[{"status":"SUCCESS","status":"FAILED"}]}`},
	{"list item with status object", Search, JSON, `{"verification_requests":[{"status":{}}]}`},
	{"list object", Search, JSON, `{"verification_requests":{"status":"SUCCESS"}}`},
	{"list null", Search, JSON, `{"verification_requests":null}`},
	{"list twice", Search, JSON, `{"verification_requests":[],"verification_requests":[]}`},
	{"trailing text", Check, JSON, `{"status":"0"}x`},
	{"trailing brace", Check, JSON, `{"status":"0"}}`},
	{"trailing NUL", Check, JSON, "{\"status\":\"0\"}\x00"},
	{"two answers", Check, JSON, `{"status":"0"}{"status":"5"}`},
	{"trailing comma", Check, JSON, `{"status":"0",}`},
	{"comment", Check, JSON, `{"status":"0"/* fine */}`},
	{"single quotes", Check, JSON, `{'status':'0'}`},
	{"BOM", Check, JSON, "\ufeff" + `{"status":"0"}`},
	{"UTF-16", Check, JSON, "{\x00\"\x00s\x00"},
	{"invalid UTF-8 in a value", Check, JSON, "{\"status\":\"0\",\"error_text\":\"caf\xe9\"}"},
	{"invalid UTF-8 in a name", Check, JSON, "{\"status\":\"0\",\"\xff\":1}"},
	{"half a surrogate pair", Check, JSON, `{"status":"0","error_text":"\ud83d"}`},
	{"33 levels", Search, JSON, `{"status":"SUCCESS","x":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`},
	{"10000 arrays after the status", Search, JSON, `{"status":"SUCCESS","x":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + `}`},
	{"10000 objects", Check, JSON, strings.Repeat(`{"a":`, 10000) + "1" + strings.Repeat("}", 10000)},
	{"10000 lists", Search, JSON, strings.Repeat(`{"verification_requests":[`, 10000) + strings.Repeat("]}", 10000)},

	{"nothing", Check, XML, ``},
	{"blank", Check, XML, "\n"},
	{"declaration only", Check, XML, xmlProlog},
	{"HTML", Check, XML, "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><hr>nginx</body></html>"},
	{"well-formed HTML", Check, XML, "<html><head><title>502</title></head><body><p>Bad Gateway</p></body></html>"},
	{"JSON", Check, XML, `{"status":"0"}`},
	{"empty root", Check, XML, `<verify_response/>`},
	{"no status", Check, XML, `<verify_response><request_id>a</request_id></verify_response>`},
	{"status deeper only", Search, XML, `<verify_request><checks><check><status>VALID</status></check></checks></verify_request>`},
	{"status as attribute", Check, XML, `<verify_response status="0"/>`},
	{"status as root", Check, XML, `<status>0</status>`},
	{"two statuses", Check, XML, `<verify_response><status>0</status><status>5</status></verify_response>`},
	{"two equal statuses", Check, XML, `<verify_response><status>0</status><status>0</status></verify_response>`},
	{"two statuses, one in a namespace", Check, XML, `<r xmlns:x="urn:x"><status>0</status><x:status>5</x:status></r>`},
	{"two statuses, one in capitals", Check, XML, `<verify_response><status>0</status><Status>5</Status></verify_response>`},
	{"two request_ids", Check, XML, `<verify_response><status>0</status><request_id>a</request_id><request_id>b</request_id></verify_response>`},
	{"two request_ids, one empty", Check, XML, `<verify_response><request_id/><status>0</status><request_id>b</request_id></verify_response>`},
	{"two prices", Check, XML, `<verify_response><status>0</status><price>0.1</price><price>0.2</price></verify_response>`},
	{"status nested", Check, XML, `<verify_response><status><code>0</code></status></verify_response>`},
	{"status with an element in it", Check, XML, `<verify_response><status>0<b>5</b></status></verify_response>`},
	{"status split by an element", Check, XML, `<verify_response><status>1<b/>6</status></verify_response>`},
	{"status empty", Check, XML, `<verify_response><status/></verify_response>`},
	{"status blank", Check, XML, `<verify_response><status> </status></verify_response>`},
	{"status lower case", Search, XML, `<verify_request><status>success</status></verify_request>`},
	{"status padded", Check, XML, `<verify_response><status>00</status></verify_response>`},
	{"status signed", Check, XML, `<verify_response><status>+0</status></verify_response>`},
	{"word for a request", Request, XML, `<verify_response><status>SUCCESS</status></verify_response>`},
	{"word for a check", Check, XML, `<verify_response><status>SUCCESS</status></verify_response>`},
	{"word for a control", Control, XML, `<response><status>CANCELLED</status></response>`},
	{"list for a check", Check, XML, `<verification_requests><verify_request><status>SUCCESS</status></verify_request></verification_requests>`},
	{"empty list for a control", Control, XML, `<verification_requests/>`},
	{"list and status", Search, XML, `<verification_requests><status>0</status></verification_requests>`},
	{"list item without status", Search, XML, `<verification_requests><verify_request><request_id>a</request_id></verify_request></verification_requests>`},
	{"list item with two statuses", Search, XML, `<verification_requests><verify_request><status>SUCCESS</status><status>FAILED</status></verify_request></verification_requests>`},
	{"list item with status nested", Search, XML, `<verification_requests><verify_request><status><a/></status></verify_request></verification_requests>`},
	{"list under another root", Search, XML, `<r><verification_requests><verify_request><status>SUCCESS</status></verify_request></verification_requests></r>`},
	{"document type", Check, XML, `<!DOCTYPE verify_response><verify_response><status>0</status></verify_response>`},
	{"document type inside", Check, XML, `<verify_response><!DOCTYPE x><status>0</status></verify_response>`},
	{"document type after", Check, XML, `<verify_response><status>0</status></verify_response><!DOCTYPE x>`},
	{"entities", Check, XML, `<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><r><status>0</status><error_text>&b;</error_text></r>`},
	{"entity of a file", Check, XML, `<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/hostname">]><r><status>0</status><error_text>&x;</error_text></r>`},
	{"entity of HTML", Check, XML, `<r><status>0</status><error_text>&nbsp;</error_text></r>`},
	{"other charset", Check, XML, `<?xml version="1.0" encoding="ISO-8859-1"?><verify_response><status>0</status></verify_response>`},
	{"UTF-7", Check, XML, `<?xml version="1.0" encoding="UTF-7"?><verify_response><status>0</status></verify_response>`},
	{"version 1.1", Check, XML, `<?xml version="1.1" encoding="UTF-8"?><verify_response><status>0</status></verify_response>`},
	{"two BOMs", Check, XML, "\ufeff\ufeff<verify_response><status>0</status></verify_response>"},
	{"leading text", Check, XML, `x<verify_response><status>0</status></verify_response>`},
	{"trailing text", Check, XML, `<verify_response><status>0</status></verify_response>x`},
	{"trailing NUL", Check, XML, "<verify_response><status>0</status></verify_response>\x00"},
	{"trailing end", Check, XML, `<verify_response><status>0</status></verify_response></r>`},
	{"two roots", Check, XML, `<verify_response><status>0</status></verify_response><verify_response><status>5</status></verify_response>`},
	{"crossed ends", Check, XML, `<verify_response><status>0</verify_response></status>`},
	{"bare ampersand", Check, XML, `<verify_response><status>0</status><error_text>a & b</error_text></verify_response>`},
	{"unquoted attribute", Check, XML, `<verify_response a=b><status>0</status></verify_response>`},
	{"invalid UTF-8", Check, XML, "<verify_response><status>0</status><error_text>caf\xe9</error_text></verify_response>"},
	{"control character", Check, XML, "<verify_response><status>0</status><error_text>\x01</error_text></verify_response>"},
	{"33 levels", Search, XML, `<r><status>SUCCESS</status>` + strings.Repeat("<a>", 32) + strings.Repeat("</a>", 32) + `</r>`},
	{"10000 levels", Check, XML, strings.Repeat("<a>", 10000) + strings.Repeat("</a>", 10000)},
	{"10000 levels after the status", Check, XML, `<r><status>0</status>` + strings.Repeat("<a>", 10000) + strings.Repeat("</a>", 10000) + `</r>`},
	{"10000 levels in the status", Check, XML, `<r><status>` + strings.Repeat("<a>", 10000) + strings.Repeat("</a>", 10000) + `</status></r>`},
}

func TestReadHostileAnswers(t *testing.T) {
	for _, test := range hostile {
		t.Run(test.f.String()+"/"+test.name, func(t *testing.T) {
			got, err := Read(test.o, test.f, []byte(test.body))
			isUnreadable(t, got, err)
		})
	}
}

// Odd answers that are answers all the same.
func TestReadUnusualAnswers(t *testing.T) {
	for _, test := range []struct {
		name   string
		o      Operation
		f      Format
		body   string
		status Status
		id     string
		found  int
		list   bool
	}{
		{"status number", Check, JSON, `{"request_id":"a","status":16}`, "16", "a", 0, false},
		{"escaped name and value", Check, JSON, `{"st\u0061tus":"\u0030","request_id":"\u0061"}`, "0", "a", 0, false},
		{"unassigned number", Request, JSON, `{"status":"9999"}`, "9999", "", 0, false},
		{"unknown word", Search, JSON, `{"status":"BEING_LOOKED AT"}`, "BEING_LOOKED AT", "", 1, false},
		{"request_id null", Request, JSON, `{"request_id":null,"status":"3"}`, "3", "", 0, false},
		{"white space", Check, JSON, " \r\n\t{ \"status\" : \"0\" } \r\n\t", "0", "", 0, false},
		{"members unknown today", Check, JSON, `{"x":{"status":"5","y":[1,true,null]},"status":"0"}`, "0", "", 0, false},
		{"32 levels", Search, JSON, `{"status":"SUCCESS","x":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + `}`, "SUCCESS", "", 1, false},
		{"empty list", Search, JSON, `{"verification_requests":[]}`, "", "", 0, true},
		{"number in a list", Search, JSON, `{"verification_requests":[{"request_id":"a","status":"101"}]}`, "", "", 1, true},
		{"list name within an item", Search, JSON, `{"verification_requests":[{"status":"SUCCESS","verification_requests":[1]}]}`, "", "", 1, true},
		{"list name within a check", Check, JSON, `{"status":"0","x":{"verification_requests":[1]}}`, "0", "", 0, false},

		{"no declaration", Check, XML, `<verify_response><status>0</status></verify_response>`, "0", "", 0, false},
		{"charset in lower case", Check, XML, `<?xml version='1.0' encoding='utf-8'?><verify_response><status>0</status></verify_response>`, "0", "", 0, false},
		{"byte order mark", Check, XML, "\ufeff" + `<?xml version="1.0"?><verify_response><status>0</status></verify_response>`, "0", "", 0, false},
		{"CDATA", Check, XML, `<verify_response><status><![CDATA[0]]></status></verify_response>`, "0", "", 0, false},
		{"character reference", Check, XML, `<verify_response><status>&#49;6</status></verify_response>`, "16", "", 0, false},
		{"comments", Check, XML, `<!-- a --><verify_response><!-- <status>5</status> --><status>0</status></verify_response><!-- b -->`, "0", "", 0, false},
		{"white space", Check, XML, "\r\n<verify_response>\n<status>\n 0\t</status>\n</verify_response>\n", "0", "", 0, false},
		{"another root", Search, XML, `<response><status>101</status></response>`, "101", "", 0, false},
		{"request_id nested", Check, XML, `<verify_response><request_id><x>a</x></request_id><status>0</status></verify_response>`, "0", "", 0, false},
		{"elements unknown today", Search, XML, `<r><x><status>5</status></x><x/><status>SUCCESS</status></r>`, "SUCCESS", "", 1, false},
		{"32 levels", Search, XML, `<r><status>SUCCESS</status>` + strings.Repeat("<a>", 31) + strings.Repeat("</a>", 31) + `</r>`, "SUCCESS", "", 1, false},
		{"empty list", Search, XML, `<verification_requests />`, "", "", 0, true},
		{"number in a list", Search, XML, `<verification_requests><verify_request><request_id>a</request_id><status>101</status></verify_request></verification_requests>`, "", "", 1, true},
	} {
		t.Run(test.f.String()+"/"+test.name, func(t *testing.T) {
			got, err := Read(test.o, test.f, []byte(test.body))
			if err != nil {
				t.Fatal(err, errors.Unwrap(err))
			}
			if got.Status != test.status || got.RequestID != test.id || len(got.Found) != test.found || got.List != test.list {
				t.Errorf("read %+v, want status %q, request_id %q, %d found, list %v", got, test.status, test.id, test.found, test.list)
			}
		})
	}
}

// Prices and networks count as told if they come as bare numbers.
func TestReadBareNumbers(t *testing.T) {
	got, err := Read(Check, JSON, []byte(`{"status":0,"price":0.05000000,"estimated_price_messages_sent":1,"network":23410,"currency":null}`))
	if err != nil {
		t.Fatal(err)
	}
	want := Verification{Status: "0", Price: "0.05000000", EstimatedPrice: "1", Network: "23410"}
	if !reflect.DeepEqual(bare(got.Verification), want) {
		t.Errorf("read %+v, want %+v", bare(got.Verification), want)
	}
}

// Refusing what is nested too deep must not need to read it.
func TestReadNoDeeperThanAllowed(t *testing.T) {
	const levels = MaxAnswer / 4
	for _, test := range []struct {
		name string
		f    Format
		body string
	}{
		{"arrays", JSON, `{"x":` + strings.Repeat("[", levels)},
		{"objects", JSON, strings.Repeat(`{"":`, levels)},
		{"elements", XML, strings.Repeat("<a>", levels)},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := []byte(test.body)
			// What is read on past the depth allowed costs memory with each level.
			allocations := testing.AllocsPerRun(1, func() {
				got, err := Read(Search, test.f, body)
				isUnreadable(t, got, err)
			})
			if allocations > levels/10 {
				t.Errorf("%v allocations", allocations)
			}
		})
	}
}

func TestIsMediaType(t *testing.T) {
	for _, test := range []struct {
		contentType string
		json, xml   bool
	}{
		{"application/json", true, false},
		{"application/json;charset=UTF-8", true, false},
		{"application/json; charset=utf-8", true, false},
		{"application/json;charset=ISO-8859-1", true, false},
		{"Application/JSON", true, false},
		{" application/json ; charset=\"utf-8\"", true, false},
		{"text/xml", false, true},
		{"text/xml;charset=UTF-8", false, true},
		{"application/xml", false, true},
		{"TEXT/XML; charset=utf-8", false, true},
		{"text/plain", true, true},
		{"text/plain; charset=utf-8", true, true},
		{"", false, false},
		{"text/html", false, false},
		{"text/json", false, false},
		{"application/problem+json", false, false},
		{"application/xhtml+xml", false, false},
		{"application/octet-stream", false, false},
		{"application/json, text/html", false, false},
		{"application/jsonp", false, false},
		{"json", false, false},
		{"/", false, false},
		{"application/json; charset=utf-8; charset=utf-7", false, false},
		{"application/json\x00", false, false},
	} {
		t.Run(test.contentType, func(t *testing.T) {
			for f, want := range map[Format]bool{JSON: test.json, XML: test.xml} {
				if got := IsMediaType(f, test.contentType); got != want {
					t.Errorf("%s: %v, want %v", f, got, want)
				}
			}
		})
	}
}

func TestReasonOfWhatIsNoAnswer(t *testing.T) {
	for _, test := range []struct {
		f    Format
		body string
		want Reason
	}{
		{JSON, "", ReasonEmpty},
		{XML, " \r\n", ReasonEmpty},
		{JSON, "<html><head>", ReasonWebPage},
		{XML, "\n <!DOCTYPE HTML PUBLIC>\n<html>", ReasonWebPage},
		{JSON, `{"status":"0"`, ReasonMalformed},
		{JSON, `{"status":"5","status":"0"}`, ReasonMalformed},
		{XML, "<response><status>0</response>", ReasonMalformed},
		{JSON, "Bad Gateway", ReasonMalformed},
		{XML, "Bad Gateway", ReasonMalformed},
		{XML, `{"status":"0"}`, ReasonMalformed},
		{JSON, "<response><status>0</status></response>", ReasonMalformed},
		{JSON, `[]`, ReasonNotVerify},
		{JSON, `{"title":"Unauthorized"}`, ReasonNotVerify},
		{JSON, `{"status":"SUCCESS"}`, ReasonNotVerify},
		{XML, "<response><state>0</state></response>", ReasonNotVerify},
	} {
		_, err := Read(Request, test.f, []byte(test.body))
		var fault *Fault
		if !errors.As(err, &fault) || fault.Reason != test.want {
			t.Errorf("%s %q: %+v, want %s", test.f, test.body, err, test.want)
		}
	}
}

func TestAboutAnother(t *testing.T) {
	call := func(o Operation, params ...string) *Call {
		c := &Call{Operation: o}
		for _, p := range params {
			name, value, _ := strings.Cut(p, "=")
			c.Params = append(c.Params, Param{name, value})
		}
		return c
	}
	for _, test := range []struct {
		call *Call
		body string
		want bool
	}{
		{call(Check, "request_id="+idA, "code=1"), `{"request_id":"` + idA + `","status":"0"}`, false},
		{call(Check, "request_id="+idA, "code=1"), `{"request_id":"` + strings.ToUpper(idA) + `","status":"0"}`, false},
		{call(Check, "request_id="+idA, "code=1"), `{"status":"6"}`, false},
		{call(Check, "request_id="+idA, "code=1"), `{"request_id":"","status":"3"}`, false},
		{call(Check, "request_id="+idA, "code=1"), `{"request_id":"` + idB + `","status":"0"}`, true},
		{call(Check, "request_id="+idA, "code=1"), `{"request_id":"` + idB + `","status":"16"}`, true},
		{call(Control, "request_id="+idA, "cmd=cancel"), `{"status":"0","command":"cancel"}`, false},
		{call(Control, "request_id="+idA, "cmd=cancel"), `{"request_id":"` + idB + `","status":"0"}`, true},
		{call(Search, "request_id="+idA), `{"request_id":"` + idB + `","status":"SUCCESS"}`, true},
		{call(Search, "request_id="+idA), `{"request_id":"` + idA + `","status":"SUCCESS"}`, false},
		{call(Search, "request_id="+idA), `{"verification_requests":[{"request_id":"` + idB + `","status":"SUCCESS"}]}`, true},
		{call(Search, "request_id="+idA), `{"verification_requests":[{"request_id":"` + idB + `","status":"FAILED"},{"request_id":"` + idA + `","status":"SUCCESS"}]}`, false},
		{call(Search, "request_id="+idA), `{"verification_requests":[]}`, true},
		{call(Search, "request_ids="+idA), `{"verification_requests":[{"request_id":"` + idB + `","status":"SUCCESS"}]}`, false},
		{call(Request, "number=1", "brand=a"), `{"request_id":"` + idB + `","status":"0"}`, false},
	} {
		reading, err := Read(test.call.Operation, JSON, []byte(test.body))
		if err != nil {
			t.Fatal(err)
		}
		if got := reading.AboutAnother(test.call); got != test.want {
			t.Errorf("%v %v: %s: %v, want %v", test.call.Operation, test.call.Params, test.body, got, test.want)
		}
	}
}

func TestStatus(t *testing.T) {
	for _, test := range []struct {
		status         Status
		numeric, final bool
	}{
		{Success, true, false},
		{NoResponse, true, false},
		{"9999", true, false},
		{"10000", false, false},
		{"01", false, false},
		{"", false, false},
		{"1a", false, false},
		{"-1", false, false},
		{InProgress, false, false},
		{Succeeded, false, true},
		{Failed, false, true},
		{Expired, false, true},
		{Cancelled, false, true},
		{"success", false, false},
	} {
		t.Run(string(test.status), func(t *testing.T) {
			if got := test.status.Numeric(); got != test.numeric {
				t.Errorf("Numeric is %v", got)
			}
			if got := test.status.Final(); got != test.final {
				t.Errorf("Final is %v", got)
			}
		})
	}
}

// What a search for several says is put together from what earlier ones said.
func TestListOfParts(t *testing.T) {
	for _, f := range Formats {
		var raw [][]byte
		var want []Verification
		for _, a := range answers(t) {
			if a.f != f || a.o != Search {
				continue
			}
			reading, err := Read(a.o, a.f, a.body)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range reading.Found {
				raw, want = append(raw, v.Raw), append(want, bare(*v))
			}
		}
		if len(raw) < MaxIDs {
			t.Fatalf("only %d parts", len(raw))
		}
		for n := range MaxIDs + 1 {
			t.Run(fmt.Sprintf("%s/%d", f, n), func(t *testing.T) {
				list := AppendList(nil, f, raw[:n])
				got, err := Read(Search, f, list)
				if err != nil {
					t.Fatalf("%v in %s", err, list)
				}
				if !got.List || len(got.Found) != n {
					t.Fatalf("read %d of %d, list %v", len(got.Found), n, got.List)
				}
				for i, v := range got.Found {
					if !reflect.DeepEqual(bare(*v), want[i]) || !bytes.Equal(v.Raw, raw[i]) {
						t.Errorf("item %d is %+v, want %+v", i, bare(*v), want[i])
					}
				}
				if ids := listByLibrary(t, f, list); len(ids) != n {
					t.Errorf("the library finds %d", len(ids))
				} else {
					for i, id := range ids {
						if id != want[i].RequestID {
							t.Errorf("the library finds %q at %d, want %q", id, i, want[i].RequestID)
						}
					}
				}
			})
		}
	}
}

// listByLibrary reads the request_ids of a list as an SDK would.
func listByLibrary(t *testing.T, f Format, list []byte) (ids []string) {
	t.Helper()
	var found struct {
		XMLName xml.Name `json:"-" xml:"verification_requests"`
		Items   []struct {
			ID string `json:"request_id" xml:"request_id"`
		} `json:"verification_requests" xml:",any"`
	}
	read := json.Unmarshal
	if f == XML {
		read = xml.Unmarshal
	}
	if err := read(list, &found); err != nil {
		t.Fatal(err)
	}
	for _, item := range found.Items {
		ids = append(ids, item.ID)
	}
	return ids
}

// The parts lie in an answer that others still read: nothing may be written to it.
func TestAssembleLeavesParts(t *testing.T) {
	for _, a := range answers(t) {
		if a.name != "search-multi" {
			continue
		}
		t.Run(a.file, func(t *testing.T) {
			before := string(a.body)
			reading, err := Read(a.o, a.f, a.body)
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range [][]byte{reading.Raw, reading.Found[0].Raw, reading.Found[1].Raw} {
				_ = append(part, "tail"...)
				_ = append(One(a.f, part), "tail"...)
				_ = append(AppendList(nil, a.f, [][]byte{part, part}), "tail"...)
			}
			if string(a.body) != before {
				t.Errorf("the answer became %s", a.body)
			}
		})
	}
}

func BenchmarkReadJSON(b *testing.B) { benchmarkRead(b, "check-0-success.json") }
func BenchmarkReadXML(b *testing.B)  { benchmarkRead(b, "check-0-success.xml") }

func benchmarkRead(b *testing.B, file string) {
	for _, a := range answers(b) {
		if a.file != file {
			continue
		}
		b.ReportAllocs()
		b.SetBytes(int64(len(a.body)))
		for b.Loop() {
			if reading, err := Read(a.o, a.f, a.body); err != nil || reading.Status != Success {
				b.Fatal(reading.Status, err)
			}
		}
		return
	}
	b.Fatal("no " + file)
}
