package sandbox

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"time"
)

// The states of a verification, as Verify Search writes them.
const (
	inProgress = "IN PROGRESS"
	success    = "SUCCESS"
	failed     = "FAILED"
	expired    = "EXPIRED"
	cancelled  = "CANCELLED"
)

// outcomeExpired is v2's word for a message, or a verification, that nobody answered.
const outcomeExpired = "expired"

const (
	maxWrongCodes = 3                // for one PIN
	estimateLag   = 20 * time.Second // from the end to the last message's estimate

	busyAfterCancel = 12 * time.Second
	blockedAfter    = 5 * time.Second
)

// messagePrices are by calling code, in hundred-thousandths of a EUR; other
// messages cost 4675.
var messagePrices = map[string]int{"1": 790, "33": 6800, "49": 8030}

// verification is one request_id from its request to its final state. Nothing
// happens to it between calls: advance catches up.
type verification struct {
	options
	id        string
	state     string
	code      string
	fixedCode string // pin_code or the configured code; "" for random PINs
	codeUntil time.Time
	wrong     int // wrong codes for this PIN
	submitted time.Time
	finalized time.Time
	next      time.Time // when the next message goes out or the verification expires
	events    []event
	checks    []attempt

	// What only v2 has.
	blocked     bool // found to be a fraud once it has begun
	application string
	webhooks    *webhooks // that tell of it; nil for none
}

// event is one message sent.
type event struct {
	id, kind string
	at       time.Time
	outcome  string // v2's word for how it ended, "" while it goes on
	ended    time.Time
}

// attempt is one code tried.
type attempt struct {
	at              time.Time
	code, status    string
	clientIPAddress string
}

// start sends the first message of a new verification.
func start(o options, fixedCode string, now time.Time) *verification {
	v := &verification{options: o, id: newRequestID(), state: inProgress, fixedCode: fixedCode, submitted: now}
	if v.api == V2 {
		v.id = newEventID()
	}
	v.send(now)
	return v
}

// send sends the next message, with a new PIN if the old one has lapsed; in v2 a PIN
// lapses with its step. The caller knows that there is a message left.
func (v *verification) send(now time.Time) {
	s := v.steps[len(v.events)]
	switch {
	case v.api == V2:
		if v.code == "" || !s.reuseCode && v.pinCode == "" {
			v.renewCode()
		}
		v.codeUntil = now.Add(s.wait)
	case !now.Before(v.codeUntil):
		v.renewCode()
		v.codeUntil = now.Add(v.pinExpiry)
	}
	v.endStep(outcomeExpired, now)
	v.events = append(v.events, event{id: newEventID(), kind: s.kind, at: now})
	v.next = now.Add(s.wait)
	if v.left() == 0 && v.next.Before(v.codeUntil) {
		v.next = v.codeUntil // no end while there is a PIN to check
	}
	v.webhooks.goesOn(v)
}

func (v *verification) renewCode() {
	old := v.code
	v.wrong = 0
	v.code = v.fixedCode
	for v.code == "" || v.fixedCode == "" && v.code == old {
		v.code = newPIN(v.codeLength)
	}
}

// left is how many messages the workflow still has.
func (v *verification) left() int { return len(v.steps) - len(v.events) }

// advance does what was due until now.
func (v *verification) advance(now time.Time) {
	for v.state == inProgress && !now.Before(v.next) {
		switch {
		case v.blocked:
			v.finish(failed, v.next)
		case v.left() == 0:
			v.finish(expired, v.next)
		default:
			v.send(v.next)
		}
	}
}

func (v *verification) finish(state string, at time.Time) {
	v.state, v.finalized = state, at
	v.endStep(v.outcome(), at)
	v.webhooks.ended(v)
}

// endStep notes how the latest message ended.
func (v *verification) endStep(outcome string, at time.Time) {
	if n := len(v.events); n > 0 {
		v.events[n-1].outcome, v.events[n-1].ended = outcome, at
		v.webhooks.stepEnded(v)
	}
}

// outcome is v2's word for the state, "" where it has none.
func (v *verification) outcome() string {
	switch {
	case v.state == success:
		return "completed"
	case v.state == failed && v.blocked:
		return "blocked"
	case v.state == failed:
		return "failed"
	case v.state == expired:
		return outcomeExpired
	}
	return ""
}

// busy says whether its number can have no other one; in v2 a cancelled one keeps it
// for a little.
func (v *verification) busy(now time.Time) bool {
	return v.state == inProgress || v.api == V2 && v.state == cancelled && now.Sub(v.finalized) < busyAfterCancel
}

// try checks a code and gives the status of Verify Check.
func (v *verification) try(code, ip string, now time.Time) (status string) {
	a := attempt{at: now, code: code, status: "INVALID", clientIPAddress: ip}
	switch {
	case code == v.code && now.Before(v.codeUntil):
		a.status = "VALID"
		status = "0"
		v.finish(success, now)
	case v.wrong+1 < maxWrongCodes:
		v.wrong++
		status = "16"
	default:
		status = "17"
		v.finish(failed, now)
	}
	v.checks = append(v.checks, a)
	return status
}

// successFee is what a success costs, in thousandths of a cent.
const successFee = 5_000

// price is what the verification itself costs, in EUR.
func (v *verification) price() string {
	if v.state == success {
		return euros(successFee) + "000"
	}
	return "0"
}

// estimate is what the messages cost as far as the account knows, in EUR.
func (v *verification) estimate(now time.Time) string {
	known := len(v.events) - 1
	if v.state != inProgress && now.Sub(v.finalized) >= estimateLag {
		known++
	}
	return euros(known * v.messagePrice())
}

// total is what a verification that has ended costs in all, in EUR.
func (v *verification) total() string {
	total := len(v.events) * v.messagePrice()
	if v.state == success {
		total += successFee
	}
	return euros(total)
}

// messagePrice is in thousandths of a cent.
func (v *verification) messagePrice() int {
	each := 4675
	for code, price := range messagePrices {
		if strings.HasPrefix(v.number, code) {
			each = price
		}
	}
	return each
}

func euros(n int) string { return fmt.Sprintf("%d.%05d", n/100_000, n%100_000) }

// newRequestID is 32 lower case hex digits.
func newRequestID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// newEventID is a random UUID.
func newEventID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func newPIN(digits int) string {
	var b [8]byte
	rand.Read(b[:])
	return fmt.Sprintf("%0*d", digits, binary.BigEndian.Uint64(b[:])%uint64(math.Pow10(digits)))
}
