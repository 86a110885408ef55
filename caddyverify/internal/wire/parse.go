package wire

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
)

// The most that a call may bring. The API's largest real call, a search for ten
// verifications, is under 1 KiB.
const (
	MaxBody       = 16 << 10 // bytes
	MaxQuery      = 8 << 10  // bytes
	MaxParameters = 64
)

// Parse reads what a client sent for an operation: a query, a form or a JSON
// object, by GET or POST, with credentials or none. The error is a *Fault.
//
// It takes what the API takes. A parameter that the operation does not have is
// left out; ignored has what may be shown of its name. The call is made of the
// others, so that the provider never sees something else than what was checked
// here; for the same reason two values of one parameter are refused. The same
// value twice is one, and a parameter without a value is as if it were not there.
// Names of credentials are dropped wherever they stand. strict refuses any other
// parameter that is unknown.
func Parse(o Operation, f Format, r *http.Request, strict bool) (call *Call, ignored []string, err error) {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		return nil, nil, Refuse(MethodNotAllowed, r.Method)
	}
	if len(r.URL.RawQuery) > MaxQuery {
		return nil, nil, Refuse(QueryTooLong, "")
	}
	c := collector{known: parameters[o], strict: strict, starts: o.Starts()}
	if err = c.form(r.URL.RawQuery); err == nil {
		err = c.body(r)
	}
	if err == nil {
		call, err = c.call(o, f)
	}
	return call, c.ignored, err
}

// collector gathers parameters from all the places a client may use.
type collector struct {
	known   []parameter
	strict  bool
	starts  bool
	charset string // of what is not UTF-8
	bare    bool   // the name at hand has no "=": it may be a value without its name

	found   [11]string // by index in known; as many as the longest list has
	ids     []string   // request_ids, each once, in the order asked
	asked   int        // request_ids, with repetitions
	address string     // Call.Address
	badID   bool       // one of them cannot be one
	ignored []string
	near    [11]bool // by index in known: a name was ignored that is nearly this one
	count   int
}

// add takes in one parameter.
func (c *collector) add(name, value string) error {
	if c.count++; c.count > MaxParameters {
		return c.tooMany()
	}
	i := c.find(name)
	if i < 0 && c.isAddress(name) {
		return c.addAddress(value)
	}
	if i < 0 {
		return c.ignore(name)
	}
	if value == "" {
		return nil
	}
	p := &c.known[i]
	value, ok := p.kind.read(value, c.charset)
	switch {
	case p.many:
		c.addID(value, ok)
	case !ok:
		return Refuse(InvalidParameter, name)
	case c.found[i] != "" && c.found[i] != value:
		return Refuse(RepeatedParameter, name)
	default:
		c.found[i] = value
	}
	return nil
}

// isAddress tells whether it is the name of the end user's address, which the API does not take here.
func (c *collector) isAddress(name string) bool { return c.starts && name == "ip_address" }

// addAddress takes in the end user's address of what starts a verification.
func (c *collector) addAddress(value string) error {
	value, ok := kindAddress.read(value, c.charset)
	switch {
	case !ok:
		return Refuse(InvalidParameter, "ip_address")
	case c.address != "" && value != "" && c.address != value:
		return Refuse(RepeatedParameter, "ip_address")
	}
	c.address = cmp.Or(c.address, value)
	return nil
}

// find returns the index of a parameter in known, or -1.
func (c *collector) find(name string) int {
	for i := range c.known {
		if c.known[i].name == name {
			return i
		}
	}
	return -1
}

// ignore leaves out a parameter that the operation does not have.
func (c *collector) ignore(name string) error {
	if isCredential(name) {
		return nil
	}
	if c.strict {
		return Refuse(UnknownParameter, name)
	}
	shown := other
	if !c.bare {
		shown = showName(name)
	}
	c.ignored = append(c.ignored, shown)
	for i, p := range c.known {
		c.near[i] = c.near[i] || lettersOf(name) == lettersOf(p.name)
	}
	return nil
}

// lettersOf is what misspellings of a name leave as it is: Number, requestId and
// request_ids[] are nearly those that are meant.
func lettersOf(name string) string {
	return strings.Map(func(r rune) rune {
		if r < 'a' || r > 'z' {
			return -1
		}
		return r
	}, strings.ToLower(name))
}

// addID takes in one of request_ids. Whether there are too many, and whether they
// can be any, is looked at when all are there.
func (c *collector) addID(id string, ok bool) {
	c.asked++
	c.badID = c.badID || !ok
	if len(c.ids) == MaxIDs || !ok {
		return
	}
	if slices.Contains(c.ids, id) {
		return
	}
	if c.ids == nil {
		c.ids = make([]string, 0, MaxIDs)
	}
	c.ids = append(c.ids, id)
}

// tooMany says of what there is too much.
func (c *collector) tooMany() error {
	if c.asked > MaxIDs {
		return Refuse(TooManyRequestIDs, "")
	}
	return Refuse(TooManyParameters, "")
}

// call puts what was gathered in the canonical order.
func (c *collector) call(o Operation, f Format) (*Call, error) {
	made := new(struct {
		Call
		room [2]Param // enough for most calls, in the same piece of memory
	})
	call := &made.Call
	call.Operation, call.Format, call.Params, call.Address = o, f, made.room[:0], c.address
	if c.count > len(made.room) {
		call.Params = make([]Param, 0, c.count)
	}
	for i, p := range c.known {
		switch {
		case p.many:
			for _, id := range c.ids {
				call.Params = append(call.Params, Param{p.name, id})
			}
		case c.found[i] != "":
			call.Params = append(call.Params, Param{p.name, c.found[i]})
		case p.mandatory:
			return nil, c.missing(o, i)
		}
	}
	if o == Search {
		if err := c.search(call); err != nil {
			return nil, err
		}
	}
	return call, nil
}

// search looks at what the parameters of a search are together.
func (c *collector) search(call *Call) error {
	switch {
	case c.asked > MaxIDs: // whatever they are
		return c.tooMany()
	case c.badID:
		return Refuse(InvalidParameter, "request_ids")
	case len(call.Params) == 0:
		return Refuse(SearchWithoutID, c.hint(0)+c.hint(1))
	case len(c.ids) > 0 && call.Params[0].Name == "request_id":
		// The API answers one with an object, the other with a list.
		return Refuse(RepeatedParameter, "request_id or request_ids, not both")
	}
	return nil
}

// missing says that the i-th of the known parameters is not there.
func (c *collector) missing(o Operation, i int) error {
	if o == Control && c.found == [len(c.found)]string{} {
		return Refuse(ControlOfNothing, c.hint(i))
	}
	return Refuse(MissingParameter, c.known[i].name+c.hint(i))
}

// hint tells a client that misspells a name why it was not read.
func (c *collector) hint(i int) string {
	if !c.near[i] {
		return ""
	}
	return " (one of nearly that name was left out)"
}
