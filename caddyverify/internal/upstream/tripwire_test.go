package upstream

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"unicode/utf16"
)

// encodings are ways in which what a server got comes back.
var encodings = map[string]func(string) string{
	"upper case":        strings.ToUpper,
	"percent":           url.QueryEscape,
	"all percent":       each("%%%02X"),
	"all percent lower": each("%%%02x"),
	"percent u":         each("%%u%04x"),
	"JSON":              func(s string) string { b, _ := json.Marshal(s); return strings.ReplaceAll(string(b), "/", `\/`) },
	"all JSON":          each(`\u%04x`),
	"JavaScript":        each(`\x%02X`),
	"octal":             each(`\%03o`),
	"XML":               func(s string) string { var b bytes.Buffer; _ = xml.EscapeText(&b, []byte(s)); return b.String() },
	"HTML":              html.EscapeString,
	"decimal entities":  each("&#%d;"),
	"hex entities":      each("&#x%X;"),
	"padded entities":   each("&#x0000000%x;"),
	"CDATA":             func(s string) string { return "<a><![CDATA[" + s[:4] + "]]><![CDATA[" + s[4:] + "]]></a>" },
	"comments":          func(s string) string { return "<a>" + s[:5] + "<!-- > -->" + s[5:] + "</a>" },
	"instructions":      func(s string) string { return "<a>" + s[:5] + `<?b > "?>` + s[5:] + "</a>" },
	"elements":          func(s string) string { return "<a>" + s[:5] + `<b c=">" d='>'/>` + s[5:] + "</a>" },
	"Base64":            func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"URL Base64":        func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
	"Base64 in lines": func(s string) string {
		text := base64.StdEncoding.EncodeToString([]byte(s))
		return text[:7] + "\r\n" + text[7:]
	},
	"Basic":            func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte("key:"+s)) },
	"UTF-16 in Base64": func(s string) string { return base64.StdEncoding.EncodeToString(utf16LE(s)) },
	"hex":              func(s string) string { return hex.EncodeToString([]byte(s)) },
	"upper case hex":   func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
	"a dump":           each("%02x:"),
	"a C array":        each("0x%02x, "),
	"quoted-printable": each("=%02X"),
	"decimal bytes":    each("%d, "),
}

func each(format string) func(string) string {
	return func(s string) string {
		var b strings.Builder
		for _, c := range []byte(s) {
			fmt.Fprintf(&b, format, c)
		}
		return b.String()
	}
}

func utf16LE(s string) (b []byte) {
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return b
}

// keepsCase tells the encodings that cannot be undone once their case is gone.
func keepsCase(name string) bool { return strings.Contains(name, "Base64") || name == "Basic" }

// TestSecretIsFound encodes the secret in each way, and that in each, and that in each.
func TestSecretIsFound(t *testing.T) {
	for _, value := range []string{canary, "a1b2c3d4e5f6g7h8", `x%41\u0041&amp;y`} {
		secret := NewSecret(value)
		expect := func(text string, names ...string) {
			t.Helper()
			if !secret.In([]byte(`{"a":"` + text + `"}`)) {
				t.Errorf("%v: not found in %s", names, text)
			}
		}
		expect(value)
		expect(strings.ToLower(value))
		for first, one := range encodings {
			once := one("key " + value + ", more")
			expect(once, first)
			for second, two := range encodings {
				if second == "upper case" && keepsCase(first) {
					continue
				}
				twice := two(once)
				expect(twice, first, second)
				for third, three := range encodings {
					if third != "upper case" && value == canary {
						expect(three(twice), first, second, third)
					}
				}
			}
		}
	}
}

func TestSecretIsFoundInBase64(t *testing.T) {
	secret := NewSecret(canary)
	for lead := range 5 {
		for tail := range 4 {
			text := []byte(strings.Repeat("k", lead) + canary + strings.Repeat(":", tail))
			for _, junk := range []string{"", "a", "ab", "abc", "abcd", "%zz \\u12 &; "} {
				for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawURLEncoding} {
					once := junk + encoding.EncodeToString(text)
					twice := junk + encoding.EncodeToString([]byte(once)) + junk
					for _, found := range []string{once, twice, junk + hex.EncodeToString([]byte(once)), junk + hex.EncodeToString(text) + "0"} {
						if !secret.In([]byte(found)) {
							t.Errorf("%q is not found in %s", text, found)
						}
					}
				}
			}
		}
	}
}

func TestSecretIsNotFound(t *testing.T) {
	secret := NewSecret(canary)
	random := rand.NewChaCha8([32]byte{})
	noise := make([]byte, 100_000)
	_, _ = random.Read(noise)
	for _, text := range []string{
		"", "Cana", canary[:len(canary)-1], `{"status":"0"}`, `%41\u0041&amp;`, `a+b c/d\\e"&lt;&#60;&#0;`,
		`{"request_id":"cc121958d8fb4368aa3bb762bb9a0f74","status":"0"}`,
		string(noise), hex.EncodeToString(noise), base64.StdEncoding.EncodeToString(noise),
		base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString(noise))),
		strings.Repeat("V", 100_000), strings.Repeat("<a>", 1000), strings.Repeat("&", 1000), strings.Repeat(`\`, 10_000), strings.Repeat("%25", 1000) + "41",
		url.QueryEscape(url.QueryEscape(url.QueryEscape(strings.Repeat(`{"a":"<&>"}`, 1000)))),
		"<a><!-- " + canary[:4] + "</a>" + canary[4:],
	} {
		if secret.In([]byte(text)) {
			t.Errorf("found in %.100q, %d bytes", text, len(text))
		}
	}
}

// What cannot be looked through is withheld, at a bounded cost.
func TestEndlessEscapes(t *testing.T) {
	secret := NewSecret(canary)
	text := []byte("&a")
	for len(text) < 1<<20 {
		text = append([]byte("&"), base64.StdEncoding.EncodeToString(text)...)
	}
	l := look{wanted: &secret.wanted, left: 3 * len(text)}
	if !l.in(text) || l.left < -6*len(text) {
		t.Errorf("it passes, or took %d bytes too much", -l.left)
	}
	if !secret.In([]byte("%" + strings.Repeat("25", maxEscapes+1) + "41")) {
		t.Error("what changes with each look passes")
	}
}

func BenchmarkSecretIn(b *testing.B) {
	check := `{"request_id":"cc121958d8fb4368aa3bb762bb9a0f74","event_id":"0A00000012345678","status":"0","price":"0.10000000","currency":"EUR"}`
	search := `{"request_id":"cc121958d8fb4368aa3bb762bb9a0f74","account_id":"abcdef01","number":"447700900000","sender_id":"verify","date_submitted":"2020-01-01 12:00:00","checks":[{"date_received":"2020-01-01 12:00:00","code":"12345678","status":"VALID","ip_address":""}],"status":"SUCCESS"}`
	for name, text := range map[string]string{
		"check":                 check,
		"search XML":            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<verify_response><request_id>cc121958d8fb4368aa3bb762bb9a0f74</request_id><status>0</status></verify_response>",
		"ten":                   strings.Repeat(search, 10),
		"1 MiB":                 strings.Repeat(search, 1<<20/len(search)),
		"1 MiB Base64, escaped": strings.Repeat("%2BabcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 1<<20/65),
	} {
		b.Run(name, func(b *testing.B) {
			secret := NewSecret(canary)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if secret.In([]byte(text)) {
					b.Fatal("found")
				}
			}
		})
	}
}
