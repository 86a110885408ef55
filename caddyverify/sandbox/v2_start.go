package sandbox

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxSteps             = 3
	defaultTimeoutV2     = 180 // seconds
	silentAuthTimeout    = 60 * time.Second
	forcedLowBalance     = "40"
	minTimeout, maxTimer = 15, 900
)

// channels are the ways to bring a code, or to do without.
var channels = []string{"sms", "voice", "whatsapp", "rcs", "email", "silent_auth"}

// localesUnknown are values of v1's lg that v2's page of languages does not have.
var localesUnknown = []string{"cy-cy", "cy-gb", "fil-ph", "yue-cn"}

var (
	codePattern      = regexp.MustCompile(`^[a-zA-Z0-9]{4,10}$`)
	clientRefPattern = regexp.MustCompile(`^[a-zA-Z0-9]{1,40}$`)
	templatePattern  = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	senderPattern    = regexp.MustCompile(`^([a-zA-Z0-9]{1,11}|[0-9]{1,15})$`)
	emailPattern     = regexp.MustCompile(`^[^@\s]+@[^@\s]+\.[^@\s]+$`)
	appHashPattern   = regexp.MustCompile(`^.{11}$`)
	indiaPattern     = regexp.MustCompile(`^.{1,20}$`)
	urlPattern       = regexp.MustCompile(`^https?://.+`)
	modePattern      = map[string]*regexp.Regexp{
		"whatsapp":    regexp.MustCompile(`^(otp_code|zero_tap)$`),
		"silent_auth": regexp.MustCompile(`^(standard|advanced)$`),
	}
)

func isCodeV2(s string) bool { return codePattern.MatchString(s) }

// startV2 begins the verification that a call asks for; application is whose webhooks
// tell of it, "" for nobody's.
func (s *Sandbox) startV2(c call, application string) answer {
	o, invalid, ok := readOptionsV2(c.v2.body)
	if !ok {
		return s.problem(unreadable)
	}
	if o.pinCode != "" && !s.cfg.AllowPinCode {
		invalid = append(invalid, counterparts["20"].invalid...)
	}
	if len(invalid) > 0 {
		return s.problem(invalidParams(invalid...))
	}
	fixed := s.cfg.Code
	if o.pinCode != "" {
		fixed = o.pinCode
	}
	status := forcedStatusV2(o.number)
	switch {
	case status == forcedLowBalance:
		return s.problem(lowBalance)
	case status == "15" && o.steps[0].kind == "silent_auth":
		return s.problem(noNetwork)
	case status != "" && status != "7":
		return s.counterpart(c, status)
	}
	now := s.clock.now()
	if v := s.verifications.running(recipient{V2, o.number}, now); v != nil {
		return s.conflict(v.id)
	}
	v := start(o, fixed, now)
	if status == "7" {
		v.blocked, v.next = true, now.Add(blockedAfter)
	}
	v.checkURL = "https://" + c.v2.host + PathV2 + "/" + v.id + "/silent-auth/redirect"
	s.verifications.add(v, now)
	if v.application = application; application != "" && s.cfg.Webhook != "" {
		s.webhooks.watch(v)
	}
	a := answer{httpStatus: http.StatusAccepted, outcome: "0", requestID: v.id, code: v.code}
	a.fields = object{{name: "request_id", value: v.id}}
	if o.steps[0].kind == "silent_auth" {
		a.code = "" // nothing was sent
		a.fields = append(a.fields, field{name: "check_url", value: v.checkURL})
	}
	return a
}

// forcedStatusV2 is the status that a number forces, "" for most.
func forcedStatusV2(number string) string {
	if number == forcedNumber(forcedLowBalance) {
		return forcedLowBalance
	}
	return forcedStatus(number)
}

// body is a JSON object that notes what is wrong with its members.
type body struct {
	members map[string]any
	invalid *[]invalidParameter
}

// refuse names each but once.
func (b body) refuse(name, reason string) {
	if slices.ContainsFunc(*b.invalid, func(i invalidParameter) bool { return i.name == name }) {
		return
	}
	*b.invalid = append(*b.invalid, invalidParameter{name, reason})
}

// text is a member that matches; missing it is "".
func (b body) text(name string, pattern *regexp.Regexp) string {
	value, given := b.members[name]
	text, ok := value.(string)
	if given && (!ok || pattern != nil && !pattern.MatchString(text)) {
		b.refuse(name, "The value is not valid.")
	}
	return text
}

// integer is a whole number within bounds.
func (b body) integer(name string, from, to, missing int) int {
	value, given := b.members[name]
	if !given {
		return missing
	}
	number, _ := value.(json.Number)
	n, err := strconv.Atoi(number.String())
	if err != nil || n < from || n > to {
		b.refuse(name, "It must be a whole number from "+strconv.Itoa(from)+" to "+strconv.Itoa(to)+".")
	}
	return n
}

func (b body) boolean(name string) bool {
	value, given := b.members[name]
	yes, ok := value.(bool)
	if given && !ok {
		b.refuse(name, "It must be true or false.")
	}
	return yes
}

// readObject is false for what is no JSON object, or more than one.
func readObject(data []byte) (b body, ok bool) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if d.Decode(&b.members) != nil || b.members == nil || d.More() {
		return b, false
	}
	b.invalid = new([]invalidParameter)
	return b, true
}

// readOptionsV2 reads the body of a start; ok is false if it is no JSON object.
// Members that it does not know are ignored.
func readOptionsV2(data []byte) (o options, invalid []invalidParameter, ok bool) {
	b, ok := readObject(data)
	if !ok {
		return o, nil, false
	}
	o.api = V2
	switch o.brand = b.text("brand", nil); {
	case o.brand == "":
		b.refuse("brand", "Brand is required")
	case utf8.RuneCountInString(o.brand) > 18 || strings.ContainsAny(o.brand, `\/{}:$`):
		b.refuse("brand", "The brand must have 1 to 18 characters, none of them one of / { } : $")
	}
	if locale := b.text("locale", nil); locale != "" && (!slices.Contains(languages, locale) || slices.Contains(localesUnknown, locale)) {
		b.refuse("locale", "The locale is not supported.")
	}
	o.timeout = time.Duration(b.integer("channel_timeout", minTimeout, maxTimer, defaultTimeoutV2)) * time.Second
	o.codeLength = b.integer("code_length", 4, 10, 4)
	o.pinCode = b.text("code", codePattern)
	o.clientRef = b.text("client_ref", clientRefPattern)
	b.boolean("fraud_check")
	b.text("template_id", templatePattern)
	b.workflow(&o)
	return o, *b.invalid, true
}

// workflow reads the steps.
func (b body) workflow(o *options) {
	items, _ := b.members["workflow"].([]any)
	if len(items) < 1 || len(items) > maxSteps {
		b.refuse("workflow", "There must be 1 to 3 channels.")
		return
	}
	for i, item := range items {
		members, _ := item.(map[string]any)
		b := body{members, b.invalid}
		to, from := b.step(i)
		if i == 0 {
			o.number, o.senderID = to, from
		}
		s := step{kind: b.text("channel", nil), wait: o.timeout, reuseCode: b.boolean("reuse_code")}
		if s.kind == "silent_auth" {
			s.wait = silentAuthTimeout
		}
		o.steps = append(o.steps, s)
	}
	if o.senderID == "" {
		o.senderID = o.brand
	}
}

// step checks a channel and gives who it goes to, and from whom.
func (b body) step(place int) (to, from string) {
	channel, _ := b.members["channel"].(string)
	to, from = b.text("to", nil), b.text("from", nil)
	isTo, sender := isE164, senderPattern
	if channel == "email" {
		isTo, sender = emailPattern.MatchString, emailPattern
	}
	switch {
	case !slices.Contains(channels, channel):
		b.refuse("channel", "The channel is not supported.")
	case channel == "silent_auth" && place > 0:
		b.refuse("channel", "silent_auth can only be the first channel.")
	}
	switch {
	case len(to) < 1 || len(to) > 50 || !isTo(to):
		b.refuse("to", "The value is not valid for this channel.")
	case from != "" && !sender.MatchString(from), from == "" && (channel == "whatsapp" || channel == "rcs"):
		b.refuse("from", "The value is not valid for this channel.")
	}
	switch channel {
	case "sms":
		b.text("entity_id", indiaPattern)
		b.text("content_id", indiaPattern)
		b.text("app_hash", appHashPattern)
	case "whatsapp", "silent_auth":
		b.text("mode", modePattern[channel])
		b.text("redirect_url", urlPattern)
		b.boolean("coverage_check")
	}
	return to, from
}

// isE164 is true of a number in E.164 without + or 00.
func isE164(s string) bool {
	return len(s) >= 7 && len(s) <= 15 && s[0] != '0' && all(s, isDigit)
}
