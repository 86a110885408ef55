package delivery

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// digest stands for a text in memory: numbers, codes and the keys of clients are not
// kept. It is salted with a secret of the Deduper's own, since a code is soon guessed.
type digest [sha256.Size]byte

// text is the digest as go-cache takes it.
func (s digest) text() string { return string(s[:]) }

// digest of a call's kind, its caller and some texts, each told apart from the next.
func (d *Deduper) digest(call *Call, kind string, texts ...string) digest {
	return sha256.Sum256(spell(append(make([]byte, 0, 512), d.salt[:]...), call, kind, texts))
}

// spell appends what a digest is of.
func spell(all []byte, call *Call, kind string, texts []string) []byte {
	add := func(text string) {
		all = binary.AppendUvarint(all, uint64(len(text)))
		all = append(all, text...)
	}
	add(kind)
	add(call.Caller)
	add(call.Operation.String())
	for _, text := range texts {
		add(text)
	}
	return all
}

const (
	asFingerprint    = "fingerprint"
	asIdempotencyKey = "idempotency key"
	asRepetition     = "repetition"
)

// fingerprint is of all that a call says.
func (d *Deduper) fingerprint(call *Call) digest { return d.digest(call, asFingerprint, said(call)...) }

func said(call *Call) []string {
	texts := append(make([]string, 0, 32), call.Format.String())
	for _, p := range call.Params {
		texts = append(texts, p.Name, p.Value)
	}
	if call.Raw != nil {
		texts = append(texts, call.Raw.Body)
	}
	return texts
}

// idempotencyKey is of the client's own name for a call.
func (d *Deduper) idempotencyKey(call *Call) digest {
	return d.digest(call, asIdempotencyKey, call.IdempotencyKey)
}

// repetitionKey is of what a repetition has in common with the call that it repeats.
func (d *Deduper) repetitionKey(call *Call) digest {
	return d.digest(call, asRepetition, repeated(call)...)
}

func repeated(call *Call) []string {
	if call.Raw != nil { // of version 2: all of it
		return []string{call.Format.String(), call.RequestID(), call.Raw.Body}
	}
	if call.Operation == wire.Check {
		return []string{call.Format.String(), call.RequestID(), call.Get("code")}
	}
	return []string{
		call.Format.String(), call.Get("country"), call.Get("brand"), call.Get("pin_code"),
		call.Get("payee"), call.Get("amount"), Digits(call.Get("number")),
	}
}

// number is of what two verifications at a time must not have in common.
func (d *Deduper) number(call *Call) digest {
	if call.Raw != nil && call.Get("number") == "" { // it goes to an e-mail address
		return d.digest(call, "number", call.Raw.Body)
	}
	return d.digest(call, "number", call.Get("country"), Digits(call.Get("number")))
}

// Digits is a number as it counts, however it is written.
func Digits(number string) string {
	text := make([]byte, 0, len(number))
	for _, c := range []byte(number) {
		if c >= '0' && c <= '9' {
			text = append(text, c)
		}
	}
	return string(text)
}
