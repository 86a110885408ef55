// Package webhook receives the webhooks of Verify v2: it makes sure that they are the provider's, and
// reads what they tell.
package webhook

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
)

// MaxBody is the largest body taken, in bytes. Real ones are under 4 KiB.
const MaxBody = 64 << 10

// Why a webhook is not taken. None of these, nor what wraps them, holds anything of the webhook.
var (
	// ErrUnsigned is for one without a signature: the provider sends one when it is in trouble, and
	// signs it when it tries again.
	ErrUnsigned = errors.New("the webhook is not signed")
	// ErrSignature is for one that is not the provider's, not of now, or for another account.
	ErrSignature = errors.New("the webhook's signature is not accepted")
	// ErrReplayed is for one that has been taken already.
	ErrReplayed = errors.New("the webhook has been taken already")
	// ErrUndecided is for one that came before, and of which it is not known yet whether it is taken.
	ErrUndecided = errors.New("the webhook is being taken in")
	// ErrTooLarge is for one of more than MaxBody.
	ErrTooLarge = fmt.Errorf("the webhook is larger than %d KiB", MaxBody>>10)
	// ErrMalformed is for one that is no webhook of Verify v2.
	ErrMalformed = errors.New("the webhook is not of Verify v2")
	// ErrBody is for one that did not arrive whole.
	ErrBody = errors.New("the webhook did not arrive whole")
)

// Code is the HTTP status code for what Receive returns. The provider tries again after anything but
// 2xx.
func Code(err error) int {
	switch {
	case err == nil, errors.Is(err, ErrReplayed):
		return http.StatusNoContent
	case errors.Is(err, ErrUnsigned), errors.Is(err, ErrUndecided):
		return http.StatusServiceUnavailable
	case errors.Is(err, ErrSignature):
		return http.StatusUnauthorized
	case errors.Is(err, ErrTooLarge):
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

// Delivery is a webhook that may be taken.
type Delivery struct {
	Event state.Event
	// Body is as it came. It holds personal data.
	Body []byte

	token string
}

// Token names the token that it came with, and tells nothing of it.
func (d *Delivery) Token() string {
	key := keyOf(d.token)
	return hex.EncodeToString(key[:])
}

// Format tells nothing of what was delivered.
func (Delivery) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("a delivery")) }

// Receive reads a webhook that was not taken before. Until Settle, which is to follow, the same
// one is refused with ErrUndecided. Its error is one of this package's.
func (v *Verifier) Receive(r *http.Request) (d Delivery, err error) {
	t, err := v.token(r.Header)
	if err != nil {
		return d, err
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxBody+1))
	if tooLarge := (*http.MaxBytesError)(nil); len(body) > MaxBody || errors.As(err, &tooLarge) {
		return d, ErrTooLarge
	}
	if err != nil {
		return d, ErrBody
	}
	if !t.covers(body) {
		return d, fmt.Errorf("%w: it is of another body", ErrSignature)
	}
	event, err := Parse(body)
	if err != nil {
		return d, err
	}
	if err := v.seen.first(t.id); err != nil {
		return d, err
	}
	return Delivery{Event: event, Body: body, token: t.id}, nil
}

// Settle tells what became of a delivery: one that was not taken is received when it comes again.
func (v *Verifier) Settle(d Delivery, taken bool) {
	if taken {
		v.seen.take(d.token)
	} else {
		v.seen.forget(d.token)
	}
}
