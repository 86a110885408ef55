package guard

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
)

// Trusted are numbers that no rule refuses.
type Trusted struct {
	// Prefixes are digits, with the calling code first; whole numbers, too.
	Prefixes []string
	// Hidden are whole numbers as HideNumber returns them for Key, so that no list of
	// numbers lies about in clear.
	Hidden [][sha256.Size]byte
	Key    []byte
}

// HideNumber returns how a number of Trusted.Hidden is written: the HMAC-SHA256 of its digits,
// with the calling code first.
func HideNumber(key []byte, digits string) (hidden [sha256.Size]byte) {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(digits))
	mac.Sum(hidden[:0])
	return hidden
}

func (t Trusted) validate() error {
	for _, prefix := range t.Prefixes {
		if !isDigits(prefix) {
			return fmt.Errorf("trusted: %q is not 1 to %d digits", prefix, maxDigits)
		}
	}
	if len(t.Hidden) > 0 && len(t.Key) == 0 {
		return errors.New("trusted: hidden numbers need the key that they were hidden with")
	}
	return nil
}

// trust is Trusted in a form to look things up in.
type trust struct {
	prefixes prefixes
	hidden   map[[sha256.Size]byte]struct{}
	key      []byte
}

func newTrust(t Trusted) trust {
	hidden := make(map[[sha256.Size]byte]struct{}, len(t.Hidden))
	for _, h := range t.Hidden {
		hidden[h] = struct{}{}
	}
	return trust{newPrefixes(t.Prefixes), hidden, t.Key}
}

func (t *trust) has(number string) bool {
	if t.prefixes.longest(number) != "" {
		return true
	}
	if len(t.hidden) == 0 {
		return false
	}
	_, found := t.hidden[HideNumber(t.key, number)]
	return found
}

// prefixes find the longest of them that a number begins with.
type prefixes struct {
	all     map[string]struct{}
	lengths [maxDigits + 1]bool
}

func newPrefixes(list []string) prefixes {
	p := prefixes{all: make(map[string]struct{}, len(list))}
	for _, prefix := range list {
		p.all[prefix] = struct{}{}
		p.lengths[len(prefix)] = true
	}
	return p
}

// longest returns "" where none fits.
func (p *prefixes) longest(number string) string {
	for n := min(len(number), maxDigits); n > 0; n-- {
		if !p.lengths[n] {
			continue
		}
		if _, found := p.all[number[:n]]; found {
			return number[:n]
		}
	}
	return ""
}
