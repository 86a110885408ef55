package wire

import "net/http"

// MaxIdempotencyKey is the longest key that a client may give a call, in bytes.
const MaxIdempotencyKey = 255

// IdempotencyKey returns a client's own name for a call
// (draft-ietf-httpapi-idempotency-key-header), or "". The error is a *Fault.
func IdempotencyKey(h http.Header) (string, error) {
	values := h["Idempotency-Key"]
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 || len(values[0]) > MaxIdempotencyKey {
		return "", Refuse(InvalidParameter, "Idempotency-Key")
	}
	return values[0], nil
}
