package v2

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/country"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// request is the body of what starts a verification.
type request struct {
	Brand          string `json:"brand"`
	Workflow       []step `json:"workflow"`
	Locale         string `json:"locale,omitempty"`
	ChannelTimeout int    `json:"channel_timeout"` // seconds
	CodeLength     int    `json:"code_length,omitempty"`
	Code           string `json:"code,omitempty"`
	ClientRef      string `json:"client_ref,omitempty"`

	// What the workflow is made of: each call is translated a few times, and one of them is sent.
	channels []string
	to, from string
	reuse    bool   // the code of the message before
	sender   string // as a search tells it
}

// step is one message of a workflow.
type step struct {
	Channel   string `json:"channel"`
	To        string `json:"to"`
	From      string `json:"from,omitempty"`
	ReuseCode bool   `json:"reuse_code,omitempty"`
}

const (
	sms   = "sms"
	voice = "voice"
)

// workflows are v1's, by workflow_id. All fit into the three steps that v2 allows.
var workflows = [...][]string{
	1: {sms, voice, voice},
	2: {sms, sms, voice},
	3: {voice, voice},
	4: {sms, sms},
	5: {sms, voice},
	6: {sms},
	7: {voice},
}

// timeouts are the channel_timeout where a call has no next_event_wait, by the number of
// messages, in seconds. v1 waits 125, 180 and 300 s, or 120 and 180, or 300; v2 has one value
// for all. These let a verification live about as long as v1's, 605 s or 300 s: the second of
// three messages comes 55 s later than v1's, that of two 30 s later.
var timeouts = [...]int{1: 300, 2: 150, 3: 180}

// defaultSender is whose SMS v1's are where a call has no sender_id; v2 would take the brand.
const defaultSender = "VERIFY"

// senderShown is how v1's searches write that sender.
const senderShown = "verify"

// translate makes the body of a request of v1. What v1 has in other words or bounds than v2 is
// refused as v1 does; the rest is for the provider to judge.
func translate(call *wire.Call) (request, *wire.Fault) {
	w := words{Call: call}
	id := cmp.Or(w.number("workflow_id", 1, len(workflows)-1), 1)
	timeout := w.number("next_event_wait", 60, 900)
	expiry := cmp.Or(w.number("pin_expiry", 60, 3600), int(wire.DefaultPINExpiry/time.Second))
	r := request{
		Brand: w.text("brand", func(brand string) bool { return !strings.ContainsAny(brand, `/\{}:$`) }), Locale: strings.ToLower(call.Get("lg")),
		CodeLength: w.codeLength(),
		Code:       w.text("pin_code", isCode),
		to:         w.to(),
		from:       cmp.Or(call.Get("sender_id"), defaultSender),
		sender:     cmp.Or(call.Get("sender_id"), senderShown),
	}
	if w.wrong != "" {
		return r, wire.Refuse(wire.InvalidParameter, w.wrong)
	}
	if r.Code != "" {
		r.CodeLength = 0 // which it has
	}
	r.channels = workflows[id]
	r.ChannelTimeout = cmp.Or(timeout, timeouts[len(r.channels)])
	// v1 sends a PIN again as long as it is valid, and one of the application's own each time.
	// v2 makes one for each message unless told otherwise.
	r.reuse = len(r.channels) > 1 && (r.Code != "" || expiry > r.ChannelTimeout)
	return r, nil
}

// Timing is that of the verification which a request of v1 starts, for who reckons with v1's: all of its
// messages have the same time, and no code lives longer. It is the zero value for what says its times
// itself, since a client has made it by v2, or starts nothing.
func Timing(call *wire.Call) wire.Timing {
	if call.Raw != nil || call.Operation != wire.Request {
		return wire.Timing{}
	}
	r, fault := translate(call)
	if fault != nil {
		return wire.Timing{}
	}
	return wire.Timing{Wait: time.Duration(r.ChannelTimeout) * time.Second}
}

func (r *request) body() string {
	r.Workflow = make([]step, 0, len(r.channels))
	for _, channel := range r.channels {
		s := step{Channel: channel, To: r.to, ReuseCode: r.reuse}
		if channel == sms {
			s.From = r.from
		}
		r.Workflow = append(r.Workflow, s)
	}
	b, _ := json.Marshal(r) // of texts and numbers
	return string(b)
}

// start is what there is to note of the verification that the request begins.
func (r *request) start() state.Start {
	s := state.Start{Number: r.to, Sender: r.sender, Wait: time.Duration(r.ChannelTimeout) * time.Second}
	s.Channels = make([]string, len(r.channels))
	for i, channel := range r.channels {
		if s.Channels[i] = channel; channel == voice {
			s.Channels[i] = "tts"
		}
	}
	return s
}

// words reads the parameters of a call, and keeps the first that is wrong.
type words struct {
	*wire.Call
	wrong string
}

// text is a parameter that is right.
func (w *words) text(name string, right func(string) bool) string {
	value := w.Get(name)
	if value != "" && !right(value) {
		w.refuse(name)
	}
	return value
}

// number is a whole number within bounds, 0 for none.
func (w *words) number(name string, least, most int) int {
	value := w.Get(name)
	if value == "" {
		return 0
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		w.refuse(name)
		return 0
	}
	return n
}

// codeLength is one that v1 has; v2 has others, too.
func (w *words) codeLength() int {
	n := w.number("code_length", 4, 6)
	if n == 5 {
		w.refuse("code_length")
	}
	return n
}

func (w *words) refuse(name string) { w.wrong = cmp.Or(w.wrong, name) }

// to is the number in E.164. A national one, which begins with 0 nearly everywhere, can only
// be made so with its country.
func (w *words) to() string {
	region := w.Get("country")
	digits := country.Digits(w.Get("number"), region)
	const most = 15 // of E.164
	switch {
	case digits != "" && digits[0] != '0' && len(digits) <= most:
	case region != "" && country.Code(region) == 0:
		w.refuse("country")
	default:
		w.refuse("number")
	}
	return digits
}

// isCode tells what v2 takes for a code. v1's may have dashes.
func isCode(code string) bool {
	return len(code) >= 4 && len(code) <= 10 && !slices.ContainsFunc([]byte(code), func(c byte) bool {
		return (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z')
	})
}
