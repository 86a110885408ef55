package webhook

import (
	"regexp"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
)

const (
	maxID   = 64 // bytes of a request_id
	maxWord = 32 // bytes of a status, a type or a channel
	maxStep = 8  // steps of a summary; v2 has three
)

// body is what a webhook has. Of none but the request_id it matters that it is there, or of its kind.
type body struct {
	RequestID text   `json:"request_id"`
	Type      text   `json:"type"`
	Status    text   `json:"status"`
	Channel   text   `json:"channel"`
	Submitted moment `json:"submitted_at"`
	Triggered moment `json:"triggered_at"`
	Finalized moment `json:"finalized_at"`
	Price     text   `json:"price"`
	Reason    text   `json:"reason"`
	Workflow  steps  `json:"workflow"`
}

type step struct {
	Channel   text   `json:"channel"`
	Status    text   `json:"status"`
	Initiated moment `json:"initiated_at"`
	Reason    text   `json:"reason"`
}

// Parse reads the body of a webhook: an event or a summary. Types and statuses that nobody knows are
// told as they are; what is missing or of another kind is left out. Its error is ErrMalformed.
func Parse(content []byte) (e state.Event, err error) {
	var b body
	// What comes twice is somebody's mistake; of two times or prices the last is as good.
	if json.Unmarshal(content, &b, jsontext.AllowDuplicateNames(true)) != nil || !isID(string(b.RequestID)) {
		return e, ErrMalformed
	}
	e = state.Event{
		ID: string(b.RequestID), Type: word(b.Type), Channel: word(b.Channel), Status: word(b.Status),
		At: time.Time(b.Finalized), Since: time.Time(b.Triggered), Price: price(b.Price), Network: network(b.Reason),
	}
	if e.Since.IsZero() {
		e.Since = time.Time(b.Submitted)
	}
	if e.Type == "" { // by what it has
		e.Type = "event"
		if b.Workflow != nil {
			e.Type = "summary"
		}
	}
	if at := time.Time(b.Triggered); e.Type == "event" && !at.IsZero() {
		e.Sent = []state.Message{{Channel: e.Channel, At: at}}
	}
	for _, s := range b.Workflow[:min(len(b.Workflow), maxStep)] {
		if e.Network == "" {
			e.Network = network(s.Reason)
		}
		if status := word(s.Status); e.Type == "summary" && status != "unused" && status != "blocked" {
			e.Sent = append(e.Sent, state.Message{Channel: word(s.Channel), At: time.Time(s.Initiated)})
		}
	}
	return e, nil
}

// text is a string or a number; "" for anything else.
type text string

// UnmarshalJSONFrom reads any value.
func (t *text) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	value, err := d.ReadValue()
	if err != nil {
		return err
	}
	switch *t = ""; value.Kind() {
	case '0':
		*t = text(value)
	case '"':
		plain, err := jsontext.AppendUnquote(nil, value)
		*t = text(plain)
		return err
	}
	return nil
}

// moment is a time; zero for anything else.
type moment time.Time

// UnmarshalJSONFrom reads any value.
func (m *moment) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	var t text
	if err := t.UnmarshalJSONFrom(d); err != nil {
		return err
	}
	*m = moment{}
	for _, layout := range [...]string{time.RFC3339, "2006-01-02T15:04:05", time.DateTime} {
		at, err := time.Parse(layout, string(t))
		if err == nil && at.Year() >= 2000 && at.Year() < 2200 {
			*m = moment(at.UTC())
			return nil
		}
	}
	return nil
}

// steps are those of a summary; nil for anything else.
type steps []step

// UnmarshalJSONFrom reads any value.
func (s *steps) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	value, err := d.ReadValue()
	if err != nil {
		return err
	}
	if *s = nil; value.Kind() != '[' {
		return nil
	}
	var all []jsontext.Value
	if err := json.Unmarshal(value, &all, jsontext.AllowDuplicateNames(true)); err != nil {
		return err
	}
	*s = steps{}
	for _, one := range all {
		var of step
		if one.Kind() == '{' && json.Unmarshal(one, &of, jsontext.AllowDuplicateNames(true)) == nil {
			*s = append(*s, of)
		}
	}
	return nil
}

// word is one that may be shown; "" for anything else.
func word(t text) string {
	if len(t) > maxWord {
		return ""
	}
	for i := range len(t) {
		if c := t[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return ""
		}
	}
	return string(t)
}

func isID(id string) bool {
	const letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
	return id != "" && len(id) <= maxID && strings.Trim(id, letters) == ""
}

var (
	decimal  = regexp.MustCompile(`^[0-9]{1,6}(\.[0-9]{1,18})?$`)
	ofBlocks = regexp.MustCompile(`network \[ ?([0-9]{5,6}) ?\]`)
)

func price(t text) string {
	if decimal.MatchString(string(t)) {
		return string(t)
	}
	return ""
}

// network is the one that a reason for a block names.
func network(reason text) string {
	if found := ofBlocks.FindStringSubmatch(string(reason)); found != nil {
		return found[1]
	}
	return ""
}
