package upstream

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
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
	// bearer is the header of who bears it. A token is long, and goes out with every call.
	bearer []string
	wanted
}

// wanted is what is looked for in answers.
type wanted struct {
	plain [][]byte // the secrets
	forms [][]byte // how they may look in an answer that echoes them, folded
	least int      // the length of the shortest
}

// NewSecret wraps a secret.
func NewSecret(value string) Secret {
	s := &secret{
		value: value, bearer: []string{"Bearer " + value},
		wanted: wanted{plain: [][]byte{[]byte(value)}, least: len(value)},
	}
	add := func(form []byte) {
		if form = fold(form); len(form) > 0 {
			s.forms = append(s.forms, form)
		}
	}
	add([]byte(value))
	add(unescape([]byte(value))) // where the secret itself looks like an escape
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for lead := range 3 {
			// The secret within a longer text, such as key:secret, encodes in one of
			// three ways. The characters that its neighbours take part in are cut off.
			text := encoding.EncodeToString(append(make([]byte, lead), value...))
			if from, to := (lead*8+5)/6, (lead+len(value))*8/6; from < to {
				add([]byte(text[from:to]))
			}
		}
	}
	add([]byte(hex.EncodeToString([]byte(value))))
	return Secret{s}
}

// Shown tells whether b holds the secret as it is. It is quick; In looks further.
func (s Secret) Shown(b []byte) bool { return s.shown(b) }

func (w *wanted) shown(b []byte) bool {
	for _, plain := range w.plain {
		if bytes.Contains(b, plain) {
			return true
		}
	}
	return false
}

// None tells that there is no secret.
func (s Secret) None() bool { return s.secret == nil }

// Equal tells whether two secrets are the same.
func (s Secret) Equal(other Secret) bool {
	if s.None() || other.None() {
		return s.None() == other.None()
	}
	return subtle.ConstantTimeCompare(s.plain[0], other.plain[0]) == 1
}

// sum tells secrets apart without showing them.
func (s Secret) sum() [sha256.Size]byte { return sha256.Sum256([]byte(s.value)) }

// Format implements fmt.Formatter, so that no verb prints the secret.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText implements encoding.TextMarshaler, for JSON, XML and the like.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
