package delivery

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// sum stands for a text in memory: numbers, codes and the keys of clients are not kept.
// It begins with a secret of the Office's own, since a code is soon guessed.
type sum [sha256.Size]byte

// key is the sum as go-cache takes it.
func (s sum) key() string { return string(s[:]) }

// sum of a call's kind, its caller and some texts, each told apart from the next.
func (o *Office) sum(call *Call, kind string, texts ...string) sum {
	all := append(make([]byte, 0, 512), o.salt[:]...)
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
	return sha256.Sum256(all)
}

// says is of all that a call says.
func (o *Office) says(call *Call) sum {
	texts := append(make([]string, 0, 32), call.Format.String())
	for _, p := range call.Params {
		texts = append(texts, p.Name, p.Value)
	}
	return o.sum(call, "says", texts...)
}

// key is of the client's own name for a call.
func (o *Office) key(call *Call) sum { return o.sum(call, "key", call.IdempotencyKey) }

// repeat is of what a repetition has in common with the call that it repeats.
func (o *Office) repeat(call *Call) sum {
	if call.Operation == wire.Check {
		return o.sum(call, "repeat", call.Format.String(), call.RequestID(), call.Get("code"))
	}
	return o.sum(call, "repeat", call.Format.String(), call.Get("country"), call.Get("brand"), call.Get("pin_code"),
		call.Get("payee"), call.Get("amount"), digits(call.Get("number")))
}

// digits is a number as it counts, however it is written.
func digits(number string) string {
	text := make([]byte, 0, len(number))
	for _, c := range []byte(number) {
		if c >= '0' && c <= '9' {
			text = append(text, c)
		}
	}
	return string(text)
}
