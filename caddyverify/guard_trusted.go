package caddyverify

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
)

// TrustedFile is a file of trusted numbers that does not show them. It is read when a
// configuration is loaded.
type TrustedFile struct {
	// Path is the file's. Each of its lines begins with the HMAC-SHA256 of a whole number's
	// digits, the calling code first, as 64 hexadecimal digits; what follows a space is left out.
	// Required.
	Path string `json:"path,omitempty"`

	// Key is the placeholder of what they were made with, {file./path} or {env.NAME}: at least
	// 32 characters. Required.
	Key string `json:"key,omitempty"`
}

// minHMACKey keeps the numbers, of which there are not that many, from being tried out.
const minHMACKey = 32

func (f *TrustedFile) check() error {
	switch {
	case f == nil:
		return nil
	case f.Path == "" || strings.ContainsAny(f.Path, "{}"):
		return errors.New("its path is missing, or a placeholder; write it out")
	case !placeholder.MatchString(f.Key):
		return errors.New("its key must be a placeholder, {file./path} or {env.NAME}, lest the admin API and the autosave file show it")
	}
	return nil
}

// read returns what is in the file, and the key. Its errors show neither.
func (f *TrustedFile) read() (hidden [][sha256.Size]byte, key []byte, err error) {
	value, err := resolve("key", f.Key, math.MaxInt)
	if err != nil {
		return nil, nil, err
	}
	if len(value) < minHMACKey {
		return nil, nil, credentialError("key", f.Key, fmt.Sprintf("is shorter than %d characters; make one with `openssl rand -base64 32`", minHMACKey))
	}
	content, err := os.ReadFile(f.Path)
	if err != nil {
		return nil, nil, errors.New(noFile(f.Path))
	}
	number := 0
	for line := range strings.Lines(string(content)) {
		number++
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		one, err := hex.DecodeString(words[0])
		if err != nil || len(one) != sha256.Size {
			return nil, nil, fmt.Errorf("line %d begins with no HMAC-SHA256, 64 hexadecimal digits", number)
		}
		hidden = append(hidden, [sha256.Size]byte(one))
	}
	return hidden, []byte(value), nil
}
