package upstream

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"log/slog"
	"net/url"
	"strconv"
)

const redacted = "REDACTED"

// Secret holds an API secret. Whatever prints it prints REDACTED; only this
// package can read it.
type Secret struct {
	// Behind a pointer, since fmt's %p prints fields whatever a type says.
	*secret
}

type secret struct {
	value string
	forms [][]byte // how it may look in an answer that echoes it
}

// NewSecret wraps a secret.
func NewSecret(value string) Secret {
	s := &secret{value: value, forms: [][]byte{[]byte(value)}}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for lead := range 3 {
			// The secret within a longer text, such as key:secret, encodes in one of
			// three ways. The characters that its neighbours take part in are cut off.
			text := encoding.EncodeToString(append(make([]byte, lead), value...))
			if from, to := (lead*8+5)/6, (lead+len(value))*8/6; from < to {
				s.forms = append(s.forms, []byte(text[from:to]))
			}
		}
	}
	digits := []byte(hex.EncodeToString([]byte(value)))
	s.forms = append(s.forms, digits, bytes.ToUpper(digits))
	return Secret{s}
}

// In tells whether text contains the secret: plain, in Base64, in hexadecimal
// digits, or with characters escaped as in URLs, JSON or XML.
func (s Secret) In(text []byte) bool {
	for _, form := range s.forms {
		if bytes.Contains(text, form) {
			return true
		}
	}
	if bytes.IndexByte(text, '%') >= 0 && bytes.Contains(unescapePercent(text), s.forms[0]) {
		return true
	}
	if bytes.IndexByte(text, '\\') >= 0 && bytes.Contains(unescapeJSON(text), s.forms[0]) {
		return true
	}
	return bytes.IndexByte(text, '&') >= 0 && bytes.Contains([]byte(html.UnescapeString(string(text))), s.forms[0])
}

// Sum tells two secrets apart without showing them.
func (s Secret) Sum() [sha256.Size]byte { return sha256.Sum256([]byte(s.value)) }

// unescapePercent decodes what is well-formed and leaves the rest as it is.
func unescapePercent(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if c, err := url.PathUnescape(string(text[i : i+3])); err == nil {
				out, i = append(out, c...), i+2
				continue
			}
		}
		out = append(out, text[i])
	}
	return out
}

// unescapeJSON decodes \uXXXX and the short escapes.
func unescapeJSON(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			out = append(out, text[i])
			continue
		}
		i++
		if text[i] == 'u' && i+4 < len(text) {
			if r, err := strconv.ParseUint(string(text[i+1:i+5]), 16, 16); err == nil {
				out, i = append(out, string(rune(r))...), i+4
				continue
			}
		}
		out = append(out, text[i])
	}
	return out
}

// Format implements fmt.Formatter, so that no verb prints the secret.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText implements encoding.TextMarshaler, for JSON, XML and the like.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
