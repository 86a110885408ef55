package relay

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"time"
)

// token is a JWT (HS256) as the provider signs webhooks, so that its SDKs can check it.
func (t *Target) token(body []byte, id string, now time.Time) string {
	encode := base64.RawURLEncoding.EncodeToString
	sum := sha256.Sum256(body)
	signed := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode([]byte(
		`{"iss":"caddy-verify","iat":`+strconv.FormatInt(now.Unix(), 10)+`,"jti":"`+id+`","payload_hash":"`+hex.EncodeToString(sum[:])+`"}`))
	return signed + "." + encode((*t.mac.Load())(signed))
}
