package wire

import (
	"encoding/binary"
	"net/http"
	"strings"
	"testing"
	"unicode/utf16"
)

const ctrlForm, ctrlJSON, ctrl = "request_id=a&cmd=cancel", `{"request_id":"a","cmd":"cancel"}`, "request_id=a&cmd=cancel"

// The media type decides how a body is read; its parameters never decide whether.
func TestParseMediaTypes(t *testing.T) {
	bodies := map[string]string{formType: ctrlForm, jsonType: ctrlJSON}
	for media, body := range bodies {
		for _, suffix := range []string{
			"", ";", ";;", "; charset", "; charset=", `; charset=""`, "; =", "; ;x", "x y;"[3:], " ; q=0.5",
			"; charset=utf-8", ";charset=UTF-8", `; charset="Utf-8"`, "; charset='utf-8'", "; charset=utf8", "; charset=utf8mb4", "; charset=utf-7",
			"; charset=us-ascii", "; charset=iso-8859-1", "; charset=ISO-8859-15", "; charset=windows-1251", "; charset=utf-16", "; charset=no-such",
			"; charset=utf-8; charset=utf-7", "; boundary=x", "; version=1, 2", " charset=utf-8", ", " + media, "," + media + "; charset=utf-8",
		} {
			t.Run(media+suffix, func(t *testing.T) {
				isCall(t, Control, post("", media+suffix, body), ctrl)
				isCall(t, Control, post("", strings.ToUpper(media)+suffix, body), ctrl)
				isCall(t, Control, with(post("", media+suffix, body), "Content-Type", media), ctrl)
			})
		}
		for _, encoding := range []string{"", "identity", "Identity", "utf-8", "UTF-8", "utf8", "us-ascii", "ISO-8859-1", "identity, utf-8"} {
			t.Run(media+" encoded as "+encoding, func(t *testing.T) {
				isCall(t, Control, with(post("", media, body), "Content-Encoding", encoding), ctrl)
			})
		}
		for _, encoding := range []string{"gzip", "br", "deflate", "zstd", "x", "identity, gzip"} {
			t.Run(media+" encoded as "+encoding, func(t *testing.T) {
				isRefused(t, Control, with(post("", media, body), "Content-Encoding", encoding), UnknownMediaType, "Content-Encoding")
				isRefused(t, Control, with(with(post("", media, body), "Content-Encoding", "identity"), "Content-Encoding", encoding), UnknownMediaType, "Content-Encoding")
			})
		}
		t.Run(media+" beside another", func(t *testing.T) {
			isRefused(t, Control, with(post("", media, body), "Content-Type", "text/plain"), UnknownMediaType, "")
			isRefused(t, Control, post("", media+", text/plain", body), UnknownMediaType, "")
			isRefused(t, Control, with(post("", formType, body), "Content-Type", jsonType), UnknownMediaType, "")
		})
		t.Run(media+" not told", func(t *testing.T) {
			isRefused(t, Control, withoutType(post("", "", body)), UnknownMediaType, "")
			isRefused(t, Control, unsized(withoutType(post("", "", body))), UnknownMediaType, "")
		})
		for _, other := range []string{"", "text/plain", "text/json", "text/xml", "multipart/form-data; boundary=x", "application/json-seq", "application/jsonx", "application/vnd.api+json", "*/*", "/", "application/octet-stream", "json"} {
			t.Run(media+" as "+other, func(t *testing.T) {
				isRefused(t, Control, post("", other, body), UnknownMediaType, "application/json")
			})
		}
	}
}

// Free text is read in whatever charset it comes, and sent on in UTF-8.
func TestParseCharsets(t *testing.T) {
	const want = "number=44123&brand=Caf%C3%A9"
	form := func(brand string) string { return "number=44123&brand=" + brand }
	object := func(brand string) string { return `{"number":"44123","brand":"` + brand + `"}` }
	for _, test := range []struct {
		name string
		r    *http.Request
		want string
	}{
		{"UTF-8 in a query", get(form("Caf%C3%A9")), want},
		{"Latin-1 in a query", get(form("Caf%E9")), want},
		{"Latin-1 in a query, raw", get(form("Caf\xe9")), want},
		{"Apache HttpClient's form", post("", formType+"; charset=ISO-8859-1", form("Caf%E9")), want},
		{"Latin-1 not declared", post("", formType, form("Caf%E9")), want},
		{"Latin-1 declared as UTF-8", post("", formType+"; charset=utf-8", form("Caf%E9")), want},
		{"Latin-1 declared as UTF-16", post("", formType+"; charset=utf-16", form("Caf%E9")), want},
		{"Latin-1 declared as nonsense", post("", formType+"; charset=klingon", form("Caf%E9")), want},
		{"UTF-8 declared as Latin-1", post("", formType+"; charset=ISO-8859-1", form("Caf%C3%A9")), want},
		{"the euro of Windows", post("", formType+"; charset=ISO-8859-1", form("%80")), "number=44123&brand=%E2%82%AC"},
		{"Cyrillic of Windows", post("", formType+"; charset=windows-1251", form("%CF%E8")), "number=44123&brand=%D0%9F%D0%B8"},
		{"Cyrillic in JSON", post("", jsonType+"; charset=windows-1251", object("\xcf\xe8")), "number=44123&brand=%D0%9F%D0%B8"},
		{"Japanese", post("", formType+"; charset=Shift_JIS", form("%83%65")), "number=44123&brand=%E3%83%86"},
		{"Latin-1 in JSON", post("", jsonType, object("Caf\xe9")), want},
		{"escaped in JSON", post("", jsonType+"; charset=ISO-8859-1", object(`Caf\u00e9`)), want},
		{"half a pair in JSON", post("", jsonType, object(`Caf\u00e9\ud83d`)), want + "%EF%BF%BD"},
		{"half a pair and text", post("", jsonType, object(`\udc00Caf\u00e9`)), "number=44123&brand=%EF%BF%BDCaf%C3%A9"},
		{"half a pair in a sender", post("", jsonType, `{"number":"44123","brand":"A","sender_id":"\ud83dx"}`), "number=44123&brand=A&sender_id=%EF%BF%BDx"},
		{"half a pair in another name", post("", jsonType, `{"number":"44123","brand":"A","x\ud83d":"\ud83d"}`), "number=44123&brand=A"},
		{"JSON with a BOM", post("", jsonType, "\ufeff"+object("Café")), want},
		{"a form with a BOM", post("", formType, "\ufeff"+form("Café")), want},
		{"JSON in UTF-16", post("", jsonType+"; charset=utf-16", inUTF16(binary.LittleEndian, object("Café"))), want},
		{"JSON in UTF-16, not declared", post("", jsonType, inUTF16(binary.BigEndian, object("Café"))), want},
		{"JSON in UTF-16 with a BOM", post("", jsonType, inUTF16(binary.BigEndian, "\ufeff"+object("Café"))), want},
		{"a form in UTF-16", post("", formType+"; charset=utf-16", inUTF16(binary.LittleEndian, "\ufeff"+form("Caf%C3%A9"))), want},
	} {
		t.Run(test.name, func(t *testing.T) { isCall(t, Request, test.r, test.want) })
	}
	t.Run("another name", func(t *testing.T) {
		isRefused(t, Request, get("number%E9=44123&brand=Acme"), MissingParameter, "number")
	})
	t.Run("not in the charset", func(t *testing.T) {
		isRefused(t, Request, post("", formType+"; charset=Shift_JIS", form("%83")), InvalidParameter, "brand")
	})
	t.Run("UTF-16 with NUL", func(t *testing.T) {
		isRefused(t, Request, post("", jsonType, inUTF16(binary.LittleEndian, object("\x00"))), Undecodable, "JSON")
	})
}

func inUTF16(order binary.ByteOrder, text string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		b = append(b, 0, 0)
		order.PutUint16(b[len(b)-2:], unit)
	}
	return string(b)
}

// A body that says nothing is none, whatever it is called.
func TestParseEmptyBodies(t *testing.T) {
	for _, media := range []string{formType, jsonType, "text/plain", "", "multipart/form-data; boundary=x"} {
		for _, body := range []string{"", " ", "\r\n", "\ufeff", "[]", "{}", "null", `""`, " [ ] ", "{\n}", "\ufeff{}", strings.Repeat(" ", 100)} {
			t.Run(media+" "+body, func(t *testing.T) {
				isCall(t, Control, post(ctrl, media, body), ctrl)
				isRefused(t, Request, post("brand=Acme", media, body), MissingParameter, "number")
			})
		}
	}
}

// JSON sent as a form would be one long name. The text says what is wrong, and
// nothing of what was sent.
func TestParseJSONAsForm(t *testing.T) {
	for _, body := range []string{
		`{"number":"447700900000","brand":"Acme"}`,
		"\ufeff {\"number\":\"447700900000\"}",
		`[{"number":"447700900000"}]`,
		`"{\"number\":\"447700900000\"}"`,
		"%7B%22number%22%3A%22447700900000%22%7D=",
		`{"number":"447700900000","brand":"a=b&c=d"}`,
	} {
		for _, query := range []string{"", "number=447700900000&brand=Acme"} {
			r := post(query, formType, body)
			isRefused(t, Request, r, Undecodable, "JSON but sent as a form")
			_, _, err := Parse(Request, JSON, post(query, formType, body), false)
			if strings.Contains(err.Error(), "4477") || strings.Contains(err.Error(), "number") {
				t.Errorf("it quotes: %v", err)
			}
		}
	}
}
