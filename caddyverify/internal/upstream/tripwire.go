package upstream

import (
	"bytes"
	"encoding/base64"
	"html"
	"strconv"
	"unicode/utf16"
)

// maxLook is how many times its own size a text is looked at, with all that it decodes
// to. Answers take a few; one that takes more is made to, and is withheld.
const maxLook = 64

// maxEscapes is how often escapes may stand within escapes.
const maxEscapes = 16

// In tells whether text contains the secret in a way that a reader could get at by
// decoding: plain, in whatever case, with characters escaped as in URLs, JSON, XML or
// HTML, split by XML's markup, in Base64 or hexadecimal digits, byte by byte as in dumps, and any of that within
// any other. A text that cannot be looked through to its end is taken to contain it.
func (s Secret) In(text []byte) bool { return s.contained(text) }

func (w *wanted) contained(text []byte) bool {
	l := look{wanted: w, left: maxLook * len(text)}
	return l.in(text)
}

// look is one search for secrets.
type look struct {
	*wanted
	left int
}

// in looks at a text, at what a reader of XML sees of it, and at what both say once
// their escapes are decoded, until nothing changes.
func (l *look) in(text []byte) bool {
	for range maxEscapes {
		text = bytes.ReplaceAll(text, []byte{0}, nil) // of UTF-16
		if l.left -= len(text); l.left < 0 || l.shows(text) || l.encoded(text) || l.listed(text) {
			return true
		}
		if bare := withoutMarkup(text); len(bare) < len(text) && l.in(bare) {
			return true
		}
		decoded := unescape(text)
		if bytes.Equal(decoded, text) {
			return false
		}
		text = decoded
	}
	return true
}

func (l *look) shows(text []byte) bool {
	folded := fold(text)
	for _, form := range l.forms {
		if bytes.Contains(folded, form) {
			return true
		}
	}
	return false
}

// encoded looks into all that may be Base64 or hexadecimal digits and is long enough.
// Where these begin is not known, so that each way to group them is tried; what comes
// out of the wrong ones is no text, and goes no further. What is decoded is shorter, so
// that this has an end.
func (l *look) encoded(text []byte) bool {
	least := l.least * 8 / 6 // hexadecimal digits are more
	for len(text) > 0 {
		n := 0
		for n < len(text) && (sextets[text[n]] >= 0 || isSpace(text[n])) {
			n++
		}
		run := text[:n]
		text = text[min(n+1, len(text)):]
		if n < least {
			continue
		}
		l.left -= 5 * n
		for skip := range 4 {
			if l.left < 0 || l.readable(decodeBase64(run, skip)) {
				return true
			}
		}
		for skip := range 2 {
			if l.readable(decodeHex(run, skip)) {
				return true
			}
		}
	}
	return false
}

// readable looks at those parts of what was decoded that are text.
func (l *look) readable(decoded []byte) bool {
	for len(decoded) > 0 {
		n := 0
		for n < len(decoded) && (decoded[n] > ' ' && decoded[n] < 0x7f || decoded[n] == 0 || isSpace(decoded[n])) {
			n++
		}
		if n >= l.least && l.in(decoded[:n]) {
			return true
		}
		decoded = decoded[min(n+1, len(decoded)):]
	}
	return false
}

// isSpace tells the characters that may stand anywhere in what is encoded, such as ends
// of lines.
func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// fold makes texts comparable: in lower case, and without spaces, of which a secret has
// none, and +, which stands for a space in forms.
func fold(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for _, c := range text {
		switch {
		case c == '+' || isSpace(c):
			continue
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		out = append(out, c)
	}
	return out
}

// withoutMarkup leaves what a reader of XML gets as text: without tags, comments and
// processing instructions, and with the content of CDATA sections.
func withoutMarkup(text []byte) []byte {
	next := bytes.IndexByte(text, '<')
	if next < 0 {
		return text
	}
	var out []byte
	for ; next >= 0; next = bytes.IndexByte(text, '<') {
		out, text = append(out, text[:next]...), text[next:]
		switch {
		case bytes.HasPrefix(text, []byte("<![CDATA[")):
			content, rest, _ := bytes.Cut(text[len("<![CDATA["):], []byte("]]>"))
			out, text = append(out, content...), rest
		case bytes.HasPrefix(text, []byte("<!--")):
			_, text, _ = bytes.Cut(text, []byte("-->"))
		case bytes.HasPrefix(text, []byte("<?")):
			_, text, _ = bytes.Cut(text, []byte("?>"))
		default:
			text = text[tagEnd(text):]
		}
	}
	return append(out, text...)
}

// tagEnd is where a tag ends, whose attributes may have > in their values.
func tagEnd(text []byte) int {
	var quote byte
	for i, c := range text {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return i + 1
		}
	}
	return len(text)
}

// unescape decodes once what is escaped as in URLs, in JSON and as in HTML, which
// includes XML, and leaves the rest as it is.
func unescape(text []byte) []byte {
	if bytes.IndexByte(text, '%') >= 0 {
		text = replaceEscapes(text, '%', percent)
	}
	if bytes.IndexByte(text, '\\') >= 0 {
		text = replaceEscapes(text, '\\', backslash)
	}
	if bytes.IndexByte(text, '&') >= 0 {
		text = []byte(html.UnescapeString(string(text)))
	}
	return text
}

// replaceEscapes replaces what begins with a mark by what decode makes of it; n is how
// much that takes, 0 for no escape.
func replaceEscapes(text []byte, mark byte, decode func(text []byte) (r rune, n int)) []byte {
	out := make([]byte, 0, len(text))
	for next := bytes.IndexByte(text, mark); next >= 0; next = bytes.IndexByte(text, mark) {
		out, text = append(out, text[:next]...), text[next:]
		switch r, n := decode(text); {
		case n == 0:
			out, text = append(out, mark), text[1:]
		case r < 0x100 && mark == '%':
			out, text = append(out, byte(r)), text[n:] //nolint:gosec // of UTF-8, maybe a part
		default:
			out, text = append(out, string(r)...), text[n:]
		}
	}
	return append(out, text...)
}

// percent decodes %41, and %u0041 as JavaScript's escape() has it.
func percent(text []byte) (rune, int) {
	if r, ok := hexDigits(text, 1, 2); ok {
		return r, 3
	}
	if len(text) > 1 && text[1]|0x20 == 'u' {
		if r, ok := hexDigits(text, 2, 4); ok {
			return r, 6
		}
	}
	return 0, 0
}

// backslash decodes the escapes of JSON, and the others of JavaScript.
func backslash(text []byte) (rune, int) {
	if len(text) < 2 {
		return 0, 0
	}
	switch c := text[1]; c {
	case 'u', 'U':
		r, ok := hexDigits(text, 2, 4)
		if !ok {
			return 0, 0
		}
		if utf16.IsSurrogate(r) && len(text) > 7 && text[6] == '\\' {
			if low, ok := hexDigits(text, 8, 4); ok {
				return utf16.DecodeRune(r, low), 12
			}
		}
		return r, 6
	case 'x', 'X':
		if r, ok := hexDigits(text, 2, 2); ok {
			return r, 4
		}
		return 0, 0
	case 'b', 'f', 'n', 'r', 't':
		return ' ', 2
	case '0', '1', '2', '3':
		if n, err := strconv.ParseUint(string(text[1:min(4, len(text))]), 8, 8); err == nil && len(text) > 3 {
			return rune(n), 4
		}
		return rune(c), 2
	default:
		return rune(c), 2
	}
}

func hexDigits(text []byte, from, count int) (rune, bool) {
	if len(text) < from+count {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text[from:from+count]), 16, 32)
	return rune(n), err == nil //nolint:gosec // any other is no character of a secret
}

// sextets are the values of Base64's characters, of either alphabet; -1 for others.
var sextets = func() (values [256]int8) {
	for i := range values {
		values[i] = -1
	}
	for _, alphabet := range []string{
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
	} {
		for i, c := range []byte(alphabet) {
			values[c] = int8(i)
		}
	}
	return values
}()

// decodeBase64 decodes all but the first characters of a run, whatever its alphabet.
func decodeBase64(run []byte, skip int) []byte {
	out := make([]byte, 0, base64.RawStdEncoding.DecodedLen(len(run)))
	bits, have := uint32(0), 0
	for _, c := range run {
		value := sextets[c]
		if value < 0 {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		if bits, have = bits<<6|uint32(value), have+6; have >= 8 {
			have -= 8
			out = append(out, byte(bits>>have)) //nolint:gosec // the bits wanted
		}
	}
	return out
}

// decodeHex decodes the digits of a run but for the first ones. What is no digit begins
// anew.
func decodeHex(run []byte, skip int) []byte {
	out := make([]byte, 0, len(run)/2)
	high, toSkip := -1, skip
	for _, c := range run {
		var value int
		switch {
		case isSpace(c):
			continue
		case '0' <= c && c <= '9':
			value = int(c - '0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			value = int(c|0x20-'a') + 10
		default:
			out, high, toSkip = append(out, 0xff), -1, skip
			continue
		}
		switch {
		case toSkip > 0:
			toSkip--
		case high < 0:
			high = value
		default:
			out, high = append(out, byte(high<<4|value)), -1 //nolint:gosec // below 256
		}
	}
	return out
}
