package caddyverify

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
)

// formsOfKey are the ways in which a private key may show: its lines, what it says in Base64 that begins elsewhere and in hexadecimal
// digits, and its numbers as Go prints them.
func formsOfKey(t *testing.T, text string) (forms []string) {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); len(line) > 20 && !strings.HasPrefix(line, "-") {
			forms = append(forms, line)
		}
	}
	const window = 45
	for from := 0; from+window <= len(block.Bytes); from += window {
		part := block.Bytes[from : from+window]
		forms = append(forms, hex.EncodeToString(part), strings.ToUpper(hex.EncodeToString(part)), strings.Trim(fmt.Sprintf("%d", part), "[]"))
		forms = append(forms, aligned(part)...)
	}
	for from := 0; from+window <= len(text); from += window { // the file as a whole, in Base64
		forms = append(forms, aligned([]byte(text[from:from+window]))...)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	private := key.(*rsa.PrivateKey)
	for _, number := range append(private.Primes, private.D, private.Precomputed.Dp, private.Precomputed.Dq, private.Precomputed.Qinv) {
		forms = append(forms, number.String(), number.Text(16))
	}
	return forms
}

// aligned is a part of a text in Base64, wherever it begins there.
func aligned(part []byte) (forms []string) {
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for lead := range 3 {
			text := encoding.EncodeToString(append(make([]byte, lead), part...))
			forms = append(forms, text[(lead*8+5)/6:(lead+len(part))*8/6])
		}
	}
	return forms
}

// formsOfToken are a JWT and its parts, but for a head that is the same in all.
func formsOfToken(token string) []string {
	parts := strings.Split(token, ".")
	return append(parts, token)
}
