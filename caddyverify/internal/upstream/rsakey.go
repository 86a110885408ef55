package upstream

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
)

// leastRSA is the shortest key that is taken, in bits: RS256 wants it (RFC 7518, section 3.3).
const leastRSA = 2048

// errNoKey is what stands in place of an error of crypto/x509, which may show parts of what
// it could not read.
var errNoKey = errors.New("it is damaged: take the file again that the provider's dashboard offered when the application was made")

// RSA reads the secret as an RSA private key in PEM, of PKCS#8 or PKCS#1. The error says
// what is wrong with it and how to mend that, and shows nothing of it.
func (s Secret) RSA() (*rsa.PrivateKey, error) {
	if s.None() || strings.TrimSpace(s.value) == "" {
		return nil, errors.New("it is empty")
	}
	block, rest := pem.Decode([]byte(s.value))
	if block == nil {
		return nil, noPEM(s.value)
	}
	var (
		key any
		err error
	)
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		if _, encrypted := block.Headers["DEK-Info"]; encrypted {
			return nil, errEncrypted
		}
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return nil, errEncrypted
	case "PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE":
		return nil, errors.New("it is the public part: take the file that begins with -----BEGIN PRIVATE KEY-----")
	case "OPENSSH PRIVATE KEY":
		return nil, errors.New("it is in OpenSSH's own format: `ssh-keygen -p -m PKCS8 -f <file>` rewrites it")
	case "EC PRIVATE KEY":
		return nil, errNotRSA
	default:
		return nil, errors.New("it is PEM of another kind: take the file that begins with -----BEGIN PRIVATE KEY-----")
	}
	if err != nil {
		return nil, errNoKey
	}
	private, ok := key.(*rsa.PrivateKey)
	another, _ := pem.Decode(rest)
	switch {
	case another != nil:
		return nil, errors.New("there is more in it than one key: leave the application's alone")
	case !ok:
		return nil, errNotRSA
	case private.N.BitLen() < leastRSA:
		return nil, errors.New("it has less than 2048 bits: have the provider's dashboard make a new one")
	}
	return private, nil
}

var (
	errEncrypted = errors.New("it is encrypted: `openssl pkey -in <file> -out <new file>` removes the passphrase")
	errNotRSA    = errors.New("it is not an RSA key, which RS256 needs: have the provider's dashboard make one")
)

// noPEM tells why there is no PEM in a text.
func noPEM(text string) error {
	switch {
	case strings.Contains(text, `\n`):
		return errors.New(`its ends of lines are written as \n: put it into a file as it came`)
	case strings.Contains(text, "-----BEGIN"):
		return errors.New("its lines are not those of PEM, or its end is missing: put it into a file as it came")
	}
	return errors.New("it is not PEM: take the file that begins with -----BEGIN PRIVATE KEY-----")
}
