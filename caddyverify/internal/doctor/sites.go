package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// CheckSite tells who is let in to a verify handler. timeout is the longest of its
// accounts, browsers what it makes of them.
func (r *Report) CheckSite(s *Site, of string, timeout time.Duration, browsers string) {
	guards := s.guards()
	if s.mutual {
		guards = append(guards, "client certificates")
	}
	switch {
	case len(guards) > 0:
		r.Add(Finding{OK, "access", of, "calls are let in by " + strings.Join(guards, ", ") + ".", ""})
	case s.local:
		r.Add(Finding{OK, "access", of, "it listens on this host alone.", ""})
	default:
		r.Add(Finding{Warn, "access", of, "everybody who reaches it is let in, and spends the account's money.", "put `remote_ip`, `basic_auth`, `forward_auth` or `client_auth` before `verify`, as Caddyfile.example does, or `bind` it to a loopback address."})
	}
	// A page under a name of its own has nothing by which a client proves who it is.
	if !s.named && !s.mutual && !slices.Contains(s.proved, "forward_auth") && !slices.Contains(s.proved, "basic_auth") {
		r.Add(Finding{Warn, "names", of, "calls are taken under any host name, so a page in somebody's browser can have a name of its own lead here (DNS rebinding).", "refuse `not host <names>` as Caddyfile.example does, or write the names as the site's address."})
	}
	if browsers == "allow" {
		r.Add(Finding{Warn, "browsers", of, "pages in browsers may call, and so may any page that an employee looks at.", "`browsers refuse`, or leave it out."})
	}
	if s.userFrom != "" {
		r.Add(Finding{Warn, "callers", of, "the user comes from " + s.userFrom + ", where any client may write what it likes.", "take the user from `basic_auth` or a client's certificate, or put `forward_auth` with `copy_headers` before the `map`."})
	}
	if s.WriteTimeout > 0 && timeout >= s.WriteTimeout {
		r.Add(Finding{Warn, "timeout", of, fmt.Sprintf("the server ends its answers after %v, when the upstream's %v are not over: clients never read why they get none.", s.WriteTimeout, timeout), "raise `write` in the global option `servers { timeouts { … } }`, or lower `timeout`."})
	} else if s.WriteTimeout > 0 {
		r.Add(Finding{OK, "timeout", of, fmt.Sprintf("%v, and the server allows %v.", timeout, s.WriteTimeout), ""})
	}
}

// CheckCallers tells of callers that are known by what anybody may write.
func (r *Report) CheckCallers(c *Config) {
	proved := len(c.Sites) > 0 && !slices.ContainsFunc(c.Sites, func(s *Site) bool { return !slices.Contains(s.proved, "forward_auth") })
	for _, one := range list(at(c.root, "apps", "verify", "callers", "known")) {
		from := text(at(one, "from"))
		if anybodys(from) && !proved {
			r.Add(Finding{Warn, "callers", text(at(one, "name")), "it is known by " + from + ", where any client may write what it likes.", "`caller` with `{http.auth.user.id}` or a client's certificate, or put `forward_auth` with `copy_headers` before `verify`."})
		}
	}
}

// providersLimit is how many calls a second the provider takes before it answers status 1.
const providersLimit = 30

// CheckLimit judges an account's limit; below 0 for none.
func (r *Report) CheckLimit(of string, limit int) {
	const change = "`limit 28/s`, or what the provider has granted."
	switch {
	case limit < 0:
		r.Add(Finding{Warn, "limit", of, fmt.Sprintf("it is off, and the provider answers status 1 to more than %d calls a second, whoever makes them.", providersLimit), change})
	case limit > providersLimit:
		r.Add(Finding{Warn, "limit", of, fmt.Sprintf("it is %d/s, and the provider answers status 1 to more than %d calls a second unless it has granted more.", limit, providersLimit), change})
	default:
		r.Add(Finding{OK, "limit", of, fmt.Sprintf("%d/s; other gateways with the same account add to it.", limit), ""})
	}
}
