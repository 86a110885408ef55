package caddyverify

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/caller"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/limit"
)

// Callers tell the applications apart that call the gateway. Without them, the user that
// Caddy's authentication has found is the caller, and all clients without one are
// one caller together.
type Callers struct {
	// Known are the callers, of which the first that fits a call makes it.
	Known []*Caller `json:"known,omitempty"`

	// Unknown is what becomes of a call that is none of theirs: `refuse` answers 403,
	// `shared` takes all of them as those of one caller, `other`. Default: `refuse`.
	Unknown string `json:"unknown,omitempty"`

	// Isolate has callers check, search and control only the verifications that they
	// started; to others' the provider's answer is that of a request_id that it does not
	// know. `off` lets all callers have to do with all. Default: `on`.
	Isolate string `json:"isolate,omitempty"`

	rules *caller.Rules
}

// Caller is an application, or several that share their verifications.
type Caller struct {
	// Name is the caller's in metrics, logs and spans. Required.
	Name string `json:"name,omitempty"`

	// From is the placeholder that the caller is known by, such as
	// `{http.auth.user.id}`, `{http.request.tls.client.subject}` or
	// `{http.request.tls.client.fingerprint}`. It should be what Caddy has proved: what
	// stands in a header is anybody's word. Required.
	From string `json:"from,omitempty"`

	// Is are the values of the placeholder that are this caller's, in which an asterisk
	// stands for any text. Required.
	Is []string `json:"is,omitempty"`

	// Account is the account that the caller's calls are made with where a handler has
	// `account by caller`. Handlers of other accounts refuse the caller. Default: any.
	Account string `json:"account,omitempty"`

	// Weight is how many calls to the upstream the caller gets for each of a caller of
	// weight 1, when both want more than the account's limit has. Default: `1`.
	Weight int `json:"weight,omitempty"`

	// Limit is how many calls a second to the upstream the caller may make, however few
	// the others make. Default: no limit of its own.
	Limit int `json:"limit,omitempty"`

	// Concurrency is how many calls of the caller may be under way. Default: any number.
	Concurrency int `json:"concurrency,omitempty"`

	// Reads `all` lets the caller search for all verifications, as a support desk does;
	// to check and control them it may not. Default: its own.
	Reads string `json:"reads,omitempty"`

	// Guard has rules for the caller in the place of the account's; what it does not say is as
	// the account has it. Default: the account's.
	Guard *Guard `json:"guard,omitempty"`
}

const (
	unknownRefuse = "refuse"
	unknownShared = "shared"
	isolateOn     = "on"
	isolateOff    = "off"
	readsAll      = "all"
)

// whileServed matches a placeholder that has a value while a call is served.
var whileServed = regexp.MustCompile(`^\{http\.[^{}\s]+\}$`)

// check tells what is wrong with the settings, and makes the rules of them.
func (c *Callers) check() error {
	if err := first([]settingError{
		{"unknown", oneOf(c.Unknown, unknownRefuse, unknownShared)},
		{"isolate", oneOf(c.Isolate, isolateOn, isolateOff)},
	}); err != nil {
		return err
	}
	if len(c.Known) == 0 {
		return errors.New("there is no caller; write for example: caller checkout {http.auth.user.id} checkout")
	}
	isolated := c.Isolate != isolateOff
	var rules []caller.Rule
	for _, one := range c.Known {
		if err := one.check(); err != nil {
			return fmt.Errorf("caller %s: %w", one.Name, err)
		}
		rules = append(rules, caller.Rule{
			Caller: caller.Caller{
				Name: one.Name, Account: one.Account, Isolated: isolated, ReadsAll: one.Reads == readsAll, Most: one.Concurrency,
			},
			From: strings.Trim(one.From, "{}"),
			Is:   one.Is,
		})
	}
	var other *caller.Caller
	if c.Unknown == unknownShared {
		other = &caller.Caller{Isolated: isolated}
	}
	var err error
	if c.rules, err = caller.NewRules(rules, other); err != nil {
		return err
	}
	return limit.Settings{Callers: c.shares()}.Validate()
}

func (c *Caller) check() error {
	var err error
	switch {
	case !whileServed.MatchString(c.From):
		err = errors.New("it is known by one placeholder that has a value while a call is served, such as {http.auth.user.id}, and the values that it has")
	case c.Reads != "" && c.Reads != readsAll:
		err = errors.New("reads must be all, or is left out")
	case c.Concurrency < 0:
		err = errors.New("concurrency must be above 0")
	default:
		if err = c.Guard.checkCaller(); err != nil {
			err = fmt.Errorf("guard: %w", err)
		}
	}
	return err
}

// shares are the callers' parts of an account's limit.
func (c *Callers) shares() map[string]limit.Share {
	if c == nil {
		return nil
	}
	shares := map[string]limit.Share{}
	for _, one := range c.Known {
		shares[one.Name] = limit.Share{Weight: one.Weight, Rate: one.Limit}
	}
	return shares
}

// names are those that metrics may have.
func (c *Callers) names() []string {
	if c == nil || c.rules == nil { // or what they are is an error
		return nil
	}
	var names []string
	for _, one := range c.rules.All() {
		names = append(names, one.Name)
	}
	return names
}

// find tells who makes a call. It is the user that one of Caddy's authentication handlers
// has found, if the configuration does not say otherwise.
func (c *Callers) find(r *http.Request) (*caller.Caller, bool) {
	replacer, _ := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	value := func(from string) (string, bool) {
		if replacer == nil {
			return "", false
		}
		return replacer.GetString(from)
	}
	if c != nil {
		return c.rules.Find(value)
	}
	if user, ok := value("http.auth.user.id"); ok && user != "" {
		return &caller.Caller{Name: user}, true
	}
	return &anyone, true
}

// anyone stands for all clients of which nothing is known.
var anyone caller.Caller
