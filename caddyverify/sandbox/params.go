package sandbox

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// languages are the values of lg.
var languages = strings.Fields(`
	ar-xa cs-cz cy-cy cy-gb da-dk de-de el-gr en-au en-gb en-in en-us es-es es-mx
	es-us fi-fi fil-ph fr-ca fr-fr hi-in hu-hu id-id is-is it-it ja-jp ko-kr nb-no
	nl-nl pl-pl pt-br pt-pt ro-ro ru-ru sv-se th-th tr-tr vi-vn yue-cn zh-cn zh-tw`)

// languagesPSD2 are the values of lg for psd2.
var languagesPSD2 = strings.Fields(`
	bg-bg cs-cz da-dk de-de ee-et el-gr en-gb es-es fi-fi fr-fr ga-ie hu-hu it-it
	lt-lt lv-lv mt-mt nl-nl pl-pl sk-sk sl-si sv-se`)

// callingCodes complete national numbers.
var callingCodes = map[string]string{
	"AU": "61", "BE": "32", "CA": "1", "CH": "41", "DE": "49", "ES": "34",
	"FR": "33", "GB": "44", "IE": "353", "IN": "91", "NL": "31", "US": "1",
}

// step is one message of a workflow and the wait that follows it.
type step struct {
	kind      string // sms or tts; in v2 the channel
	wait      time.Duration
	reuseCode bool // v2: the code of the step before
}

// workflows are listed by workflow_id. The single message of 6 and 7 has no
// wait of its own: the verification lives as long as its PIN.
var workflows = [...][]step{
	1: {{kind: "sms", wait: 125 * time.Second}, {kind: "tts", wait: 180 * time.Second}, {kind: "tts", wait: 300 * time.Second}},
	2: {{kind: "sms", wait: 125 * time.Second}, {kind: "sms", wait: 180 * time.Second}, {kind: "tts", wait: 300 * time.Second}},
	3: {{kind: "tts", wait: 120 * time.Second}, {kind: "tts", wait: 180 * time.Second}},
	4: {{kind: "sms", wait: 120 * time.Second}, {kind: "sms", wait: 180 * time.Second}},
	5: {{kind: "sms", wait: 120 * time.Second}, {kind: "tts", wait: 180 * time.Second}},
	6: {{kind: "sms"}},
	7: {{kind: "tts"}},
}

// options are the parameters of Verify Request or PSD2, or the body of a start in v2,
// understood.
type options struct {
	api        string
	number     string // E.164 without the plus
	brand      string
	payee      string // of psd2
	amount     string // of psd2, in euros
	senderID   string
	pinCode    string
	codeLength int
	pinExpiry  time.Duration
	steps      []step

	// What only v2 has.
	clientRef string
	timeout   time.Duration // channel_timeout
	checkURL  string
}

// params reads the values of one call and remembers the first that is wrong.
type params struct {
	call
	invalid string
}

func (p *params) refuse(name string) {
	if p.invalid == "" {
		p.invalid = name
	}
}

// text is a value of at most longest characters.
func (p *params) text(name string, longest int) string {
	value := p.get(name)
	if utf8.RuneCountInString(value) > longest {
		p.refuse(name)
	}
	return value
}

// integer is a whole number within bounds; without a value it is 0.
func (p *params) integer(name string, from, to int) int {
	value := p.get(name)
	if value == "" {
		return 0
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < from || n > to {
		p.refuse(name)
	}
	return n
}

// missing names the first of the parameters that has no value.
func (c call) missing(names ...string) string {
	for _, name := range names {
		if c.get(name) == "" {
			return name
		}
	}
	return ""
}

// options reads the parameters of Verify Request or PSD2; invalid names one that is
// wrong.
func (c call) options() (o options, invalid string) {
	p := params{call: c}
	known := languages
	if c.operation == "psd2" {
		known = languagesPSD2
	}
	country := strings.ToUpper(c.get("country"))
	if country != "" && (len(country) != 2 || !all(country, isUpper)) {
		p.refuse("country")
	}
	o.number = international(c.get("number"), country)
	if o.number == "" {
		p.refuse("number")
	}
	if c.operation == "psd2" {
		o.payee = p.text("payee", 18)
		o.amount = c.get("amount")
		if euros, err := strconv.ParseFloat(o.amount, 64); err != nil || !(euros >= 0 && euros < 1e9) {
			p.refuse("amount")
		}
	} else {
		o.brand = p.text("brand", 18)
		o.senderID = p.text("sender_id", 11)
		o.pinCode = c.get("pin_code")
	}
	o.api = V1
	if o.senderID == "" {
		o.senderID = "verify"
	}
	if lg := c.get("lg"); lg != "" && !slices.Contains(known, strings.ToLower(lg)) {
		p.refuse("lg")
	}
	o.codeLength = p.integer("code_length", 4, 6)
	if o.codeLength == 5 {
		p.refuse("code_length")
	}
	o.codeLength = max(4, o.codeLength)
	if o.pinCode != "" && !isCode(o.pinCode) {
		p.refuse("pin_code")
	}

	expiry := p.integer("pin_expiry", 60, 3600)
	if expiry == 0 {
		expiry = 300
	}
	wait := p.integer("next_event_wait", 60, 900)
	workflow := max(1, p.integer("workflow_id", 1, len(workflows)-1))
	if p.invalid != "" {
		return options{}, p.invalid
	}
	o.steps = slices.Clone(workflows[workflow])
	if wait != 0 {
		if expiry%wait != 0 {
			expiry = wait
		}
		for i := range o.steps {
			o.steps[i].wait = time.Duration(wait) * time.Second
		}
	}
	o.pinExpiry = time.Duration(expiry) * time.Second
	return o, ""
}

// international gives a number in E.164 without its plus, "" if it is none.
func international(number, country string) string {
	digits := strings.NewReplacer(" ", "", "-", "", "(", "", ")", "").Replace(number)
	digits, complete := strings.CutPrefix(digits, "+")
	if code := callingCodes[country]; code != "" && !complete && !strings.HasPrefix(digits, code) {
		digits = code + strings.TrimPrefix(digits, "0")
	}
	if len(digits) < 7 || len(digits) > 15 || digits[0] == '0' || !all(digits, isDigit) {
		return ""
	}
	return digits
}

// isCode is true of what can be a PIN or a pin_code.
func isCode(s string) bool { return len(s) >= 4 && len(s) <= 10 && all(s, isWord) }

// isRequestID is true of what can be a request_id.
func isRequestID(s string) bool { return s != "" && len(s) <= 32 && all(s, isWord) }

func all(s string, is func(byte) bool) bool {
	for i := range len(s) {
		if !is(s[i]) {
			return false
		}
	}
	return true
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }
func isUpper(b byte) bool { return 'A' <= b && b <= 'Z' }
func isWord(b byte) bool  { return isDigit(b) || isUpper(b) || 'a' <= b && b <= 'z' || b == '-' }
