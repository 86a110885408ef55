package upstream

import (
	"encoding/base64"
	"net/http"
)

// Basic has a request carry the secret, with the account's key, as HTTP Basic.
func (s Secret) Basic(h http.Header, key string) {
	h["Authorization"] = []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(key+":"+s.value))}
}

// Bearer has a request carry the secret as a bearer token.
func (s Secret) Bearer(h http.Header) { h["Authorization"] = s.bearer }
