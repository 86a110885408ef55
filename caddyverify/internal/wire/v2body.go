package wire

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// MaxBodyV2 is the largest body of a call of version 2, in bytes. Real ones are under 2 KiB.
	MaxBodyV2 = 64 << 10
	// maxWorkflow is how many messages are taken; the API has three and may have more one day.
	maxWorkflow = 8
	// defaultWaitV2 is channel_timeout where a request does not say.
	defaultWaitV2 = 180 * time.Second
)

// kindV2 is what the values of a member of version 2's bodies are.
type kindV2 uint8

const (
	textV2 kindV2 = iota
	integerV2
	booleanV2
	linesV2 // a text of several lines
)

// memberV2 is one that a body has.
type memberV2 struct {
	name string
	kind kindV2
}

// The members, in the order of the API's documentation (version 1.0.1), and two that SDKs send
// yet though they are not documented any more.
var (
	startV2 = []memberV2{
		{"brand", textV2},
		{"workflow", textV2}, // read by its own
		{"locale", textV2},
		{"channel_timeout", integerV2},
		{"code_length", integerV2},
		{"code", textV2},
		{"client_ref", textV2},
		{"fraud_check", booleanV2},
		{"template_id", textV2},
	}
	messageV2 = []memberV2{
		{"channel", textV2},
		{"to", textV2},
		{"from", textV2},
		{"entity_id", textV2},
		{"content_id", textV2},
		{"app_hash", textV2},
		{"reuse_code", booleanV2},
		{"mode", textV2},
		{"redirect_url", textV2},
		{"coverage_check", booleanV2},
		{"sandbox", booleanV2},
	}
	checkV2 = []memberV2{{"code", textV2}, {"token", textV2}}
)

// ParseV2 reads what a client sent to a path of version 2. As in version 1 the body is written
// anew from the members that the API has, so that the provider never sees something else than
// what was checked here: of two members of one name a reader may take either, and a number in
// a member that the guard does not know would be verified past it. Others are left out and
// ignored has what may be shown of their names; strict refuses them. What the values may be is the
// provider's to say, but for numbers, which the guard must be able to read. The error is a *Fault.
func ParseV2(p PathV2, r *http.Request, strict bool) (call *Call, ignored []string, err error) {
	c := readerV2{strict: strict}
	call = &Call{Operation: p.Operation, Format: V2, Raw: new(Raw)}
	switch p.Operation {
	case Templates:
		err = c.templates(call, p, r)
	case Control:
		// Neither has a body. What comes with one is nobody's.
		call.Params = []Param{{"request_id", p.RequestID}, {"cmd", p.Cmd}}
	case Check:
		err = c.check(call, p.RequestID, r)
	default:
		err = c.start(call, r)
	}
	if err != nil {
		return nil, c.ignored, err
	}
	return call, c.ignored, nil
}

// readerV2 reads a body.
type readerV2 struct {
	strict  bool
	ignored []string
	count   int
}

// read takes a body in that is one JSON value without a name twice in an object.
func (c *readerV2) read(r *http.Request) (jsontext.Value, error) {
	media, _ := mediaType(r.Header)
	body, err := readBody(r, MaxBodyV2)
	tooLarge := (*http.MaxBytesError)(nil)
	switch {
	case len(body) > MaxBodyV2, errors.As(err, &tooLarge):
		return nil, Refuse(BodyTooLarge, "")
	case err != nil:
		return nil, Refuse(Undecodable, "the body did not arrive whole")
	case media != jsonMedia && media != "", isEncoded(r.Header):
		return nil, Refuse(UnknownMediaType, "")
	}
	d := jsontext.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\ufeff"))))
	value, err := d.ReadValue()
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return nil, Refuse(RepeatedParameter, syntax.JSONPointer.LastToken())
	case err != nil && utf8.Valid(body):
		return nil, Refuse(Undecodable, "the body is not valid JSON")
	case err != nil:
		return nil, Refuse(Undecodable, "the body is not in UTF-8")
	case value.Kind() != '{':
		return nil, Refuse(Undecodable, "the body is not a JSON object")
	}
	value = value.Clone()
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, Refuse(Undecodable, "the body is more than a JSON object")
	}
	return value, nil
}

// objectV2 are the members of an object that have a value: texts without quotes, all else as
// it is written.
type objectV2 map[string]jsontext.Value

func (o objectV2) text(name string) string { return string(o[name]) }

// object reads the members of an object. within is what it is a part of, for the client.
func (c *readerV2) object(value jsontext.Value, known []memberV2) (objectV2, error) {
	found := objectV2{}
	d := jsontext.NewDecoder(bytes.NewReader(value))
	_, _ = d.ReadToken() // all of it has been read once
	for d.PeekKind() != '}' {
		token, _ := d.ReadToken()
		name := token.String()
		value, err := d.ReadValue()
		if err != nil {
			return nil, Refuse(Undecodable, "the body is not valid JSON")
		}
		if c.count++; c.count > MaxParameters*2 {
			return nil, Refuse(TooManyParameters, "")
		}
		i := slices.IndexFunc(known, func(m memberV2) bool { return m.name == name })
		if i < 0 {
			if c.strict {
				return nil, Refuse(UnknownParameter, name)
			}
			c.ignored = append(c.ignored, showName(name))
			continue
		}
		if value.Kind() == 'n' || string(value) == `""` {
			continue // as if it were not there, as in version 1
		}
		if name == "workflow" {
			found[name] = value.Clone()
			continue
		}
		read, ok := known[i].kind.read(value)
		if !ok {
			return nil, Refuse(InvalidParameter, name)
		}
		found[name] = read
	}
	return found, nil
}

// read returns a value in the one way that it is sent in. Numbers for texts, and texts for
// numbers, are taken for these, as the libraries of servers do.
func (k kindV2) read(value jsontext.Value) (jsontext.Value, bool) {
	text, ok := scalar(value, kindText)
	switch k {
	case textV2:
	case booleanV2:
		return slices.Clone(value), value.Kind() == 't' || value.Kind() == 'f'
	case linesV2:
		return readLines(value)
	case integerV2:
		n, err := strconv.ParseUint(text, 10, 32)
		return strconv.AppendUint(nil, n, 10), ok && err == nil
	}
	return jsontext.Value(text), ok && kindText.fits(text) && utf8.ValidString(text)
}

// write appends the members in the order of known.
func (o objectV2) write(b []byte, known []memberV2, special func(b []byte) []byte) []byte {
	b = append(b, '{')
	for _, m := range known {
		value, ok := o[m.name]
		if !ok {
			continue
		}
		if len(b) > 0 && b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), m.name...), `":`...)
		switch {
		case m.name == "workflow":
			b = special(b)
		case m.kind == textV2, m.kind == linesV2:
			b = appendQuoted(b, string(value))
		default:
			b = append(b, value...)
		}
	}
	return append(b, '}')
}

// members reads the body's.
func (c *readerV2) members(r *http.Request, known []memberV2) (objectV2, error) {
	body, err := c.read(r)
	if err != nil {
		return nil, err
	}
	return c.object(body, known)
}

func (c *readerV2) check(call *Call, requestID string, r *http.Request) error {
	o, err := c.members(r, checkV2)
	switch {
	case err != nil:
		return err
	case o.text("code") == "" && o.text("token") == "":
		return Refuse(MissingParameter, "code")
	}
	call.Params = []Param{{"request_id", requestID}}
	if code := o.text("code"); code != "" {
		call.Params = append(call.Params, Param{"code", code})
	}
	call.Raw.Body = string(o.write(nil, checkV2, nil))
	return nil
}

func (c *readerV2) start(call *Call, r *http.Request) error {
	o, err := c.members(r, startV2)
	if err != nil {
		return err
	}
	for _, name := range []string{"brand", "workflow"} {
		if o.text(name) == "" {
			return Refuse(MissingParameter, name)
		}
	}
	steps, err := c.workflow(call.Raw, o["workflow"])
	if err != nil {
		return err
	}
	call.Raw.Wait = defaultWaitV2
	if n, err := strconv.Atoi(o.text("channel_timeout")); err == nil {
		call.Raw.Wait = time.Duration(min(max(n, 15), 900)) * time.Second // the bounds of the API
	}
	if numbers, _ := call.Raw.Numbers(); len(numbers) > 0 {
		call.Params = append(call.Params, Param{"number", numbers[0]})
	}
	call.Params = append(call.Params, Param{"brand", o.text("brand")})
	if code := o.text("code"); code != "" {
		call.Params = append(call.Params, Param{"pin_code", code})
	}
	call.Raw.Body = string(o.write(nil, startV2, func(b []byte) []byte {
		for i, step := range steps {
			b = append(b, "[,"[min(i, 1)])
			b = step.write(b, messageV2, nil)
		}
		return append(b, ']')
	}))
	return nil
}

// workflow reads the messages.
func (c *readerV2) workflow(raw *Raw, value jsontext.Value) (steps []objectV2, err error) {
	wrong := Refuse(InvalidParameter, "workflow")
	if value.Kind() != '[' {
		return nil, wrong
	}
	d := jsontext.NewDecoder(bytes.NewReader(value))
	_, _ = d.ReadToken()
	for d.PeekKind() != ']' {
		value, err := d.ReadValue()
		if err != nil || value.Kind() != '{' || len(steps) == maxWorkflow {
			return nil, wrong
		}
		o, err := c.object(value.Clone(), messageV2)
		if err != nil {
			return nil, err
		}
		for _, name := range []string{"channel", "to"} {
			if o.text(name) == "" {
				return nil, Refuse(MissingParameter, name)
			}
		}
		to, ok := recipient(o.text("channel"), o.text("to"))
		if !ok {
			return nil, Refuse(InvalidParameter, "to")
		}
		o["to"] = jsontext.Value(to)
		steps = append(steps, o)
		raw.Workflow = append(raw.Workflow, Message{Channel: o.text("channel"), To: to, From: o.text("from")})
	}
	if len(steps) == 0 {
		return nil, wrong
	}
	return steps, nil
}

// recipient returns who a message goes to as it is sent: an e-mail address as it is, a phone
// number as the digits of E.164. What the guard could read otherwise than the provider, such as a
// national number, is none; the provider refuses it, too.
func recipient(channel, to string) (string, bool) {
	if channel == "email" && strings.Contains(to, "@") {
		return to, true
	}
	if !kindNumber.fits(to) || strings.LastIndexByte(to, '+') > 0 {
		return "", false
	}
	digits := strings.Map(func(c rune) rune {
		if c < '0' || c > '9' {
			return -1
		}
		return c
	}, to)
	return digits, len(digits) >= 7 && len(digits) <= 15 && digits[0] != '0'
}
