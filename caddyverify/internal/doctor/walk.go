package doctor

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// maxDepth is how deep routes may be nested: named routes may invoke each other.
const maxDepth = 64

// walker goes through the routes of a server in their order.
type walker struct {
	config *Config
	server object
	depth  int
}

// state is what is known of a call that has come to a place.
type state struct {
	hosts   []string // the names that it is for, as matchers say; empty for any
	paths   []string
	matched []string // what restricts who makes it, by matchers of this place
	proved  []string // the same, by handlers and refusals before
	named   bool     // for a name of another's it would have been refused
	// userFrom is the header that the user is taken from with nothing to prove it.
	userFrom string
}

// guards are what lets in only whom it should.
func (s *state) guards() []string { return slices.Concat(s.proved, s.matched) }

// routes goes through a list, and returns what is known of a call that has come to its
// end.
func (w *walker) routes(routes []any, s state) state {
	if w.depth--; w.depth < 0 {
		return s
	}
	defer func() { w.depth++ }()
	for _, one := range routes {
		route, _ := one.(object)
		matchers, handlers := sets(route["match"]), list(route["handle"])
		after := w.handlers(handlers, s.within(matchers))
		switch exclusive := route["group"] != nil || isTrue(route["terminal"]); {
		case refuses(handlers, maxDepth):
			s.refused(matchers)
		case exclusive:
		case coverAll(matchers):
			s.proved, s.userFrom, s.named = after.proved, after.userFrom, after.named
		}
	}
	return s
}

func (w *walker) handlers(handlers []any, s state) state {
	for _, one := range handlers {
		handler, _ := one.(object)
		switch name := text(handler["handler"]); name {
		case "verify":
			w.found(handler, s)
		case "verify_webhook":
			if written := raw(handler); !slices.ContainsFunc(w.config.Webhooks, func(one json.RawMessage) bool { return bytes.Equal(one, written) }) {
				w.config.Webhooks = append(w.config.Webhooks, written)
			}
		case "metrics":
			path := "/metrics"
			if len(s.paths) > 0 && !strings.Contains(s.paths[0], "*") {
				path = s.paths[0]
			}
			w.config.metrics = append(w.config.metrics, page{texts(w.server["listen"]), s.hosts, path, w.server["tls_connection_policies"] != nil})
		case "tracing":
			w.config.tracing = true
		case "authentication":
			if at(handler, "providers", "http_basic") != nil {
				name = "basic_auth"
			}
			s.proved = append(slices.Clip(s.proved), name)
		case "invoke":
			if route := at(w.server, "named_routes", text(handler["name"])); route != nil {
				s = w.routes([]any{route}, s)
			}
		case "map":
			s.mapped(handler)
		case "subroute":
			s = w.routes(list(handler["routes"]), s)
		default:
			if name == "reverse_proxy" && len(list(handler["handle_response"])) > 0 {
				s.proved = append(slices.Clip(s.proved), "forward_auth")
			}
			w.nested(handler, s)
		}
	}
	return s
}

// nested looks for routes in the settings of a handler.
func (w *walker) nested(value any, s state) {
	switch v := value.(type) {
	case object:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if name == "routes" {
				w.routes(list(v[name]), s)
			} else {
				w.nested(v[name], s)
			}
		}
	case []any:
		for _, one := range v {
			w.nested(one, s)
		}
	}
}

func (w *walker) found(handler object, s state) {
	listen := texts(w.server["listen"])
	name := s.hosts
	if len(name) == 0 {
		name = listen
	}
	w.config.Sites = append(w.config.Sites, &Site{
		Name:         strings.Join(name, " "),
		Handler:      raw(handler),
		WriteTimeout: duration(w.server["write_timeout"]),
		listen:       strings.Join(listen, " "),
		local:        len(listen) > 0 && !slices.ContainsFunc(listen, func(address string) bool { return !isLocal(address) }),
		mutual:       mutualTLS(list(w.server["tls_connection_policies"]), s.hosts),
		state:        s,
	})
}

// mapped notes a user that is taken from a header.
func (s *state) mapped(handler object) {
	source := text(handler["source"])
	if !slices.Contains(texts(handler["destinations"]), "{http.auth.user.id}") {
		return
	}
	s.userFrom = ""
	if anybodys(source) && !slices.Contains(s.proved, "forward_auth") {
		s.userFrom = source
	}
}

// anybodys tells a placeholder whose value any client may choose.
func anybodys(placeholder string) bool {
	for _, of := range []string{"header", "cookie", "uri", "query", "orig_uri", "body", "path", "form"} {
		if strings.HasPrefix(placeholder, "{http.request."+of) {
			return true
		}
	}
	return false
}

// mutualTLS tells whether clients for these names must show a certificate.
func mutualTLS(policies []any, hosts []string) bool {
	all, known := len(policies) > 0, map[string]bool{}
	for _, policy := range policies {
		if !demandsCertificate(at(policy, "client_authentication")) {
			all = false
			continue
		}
		for _, name := range texts(at(policy, "match", "sni")) {
			known[name] = true
		}
	}
	return all || len(hosts) > 0 && !slices.ContainsFunc(hosts, func(host string) bool { return !known[host] })
}

func demandsCertificate(authentication any) bool {
	settings, _ := authentication.(object)
	if len(settings) == 0 {
		return false
	}
	switch text(settings["mode"]) {
	case "request", "verify_if_given":
		return false
	}
	return true
}

// refuses tells whether handlers answer every call that comes to them with an error.
func refuses(handlers []any, depth int) bool {
	if depth == 0 {
		return false
	}
	for _, one := range handlers {
		handler, _ := one.(object)
		switch text(handler["handler"]) {
		case "error":
			return true
		case "static_response":
			return isTrue(handler["abort"]) || isErrorCode(handler["status_code"])
		case "subroute":
			for _, route := range list(handler["routes"]) {
				if at(route, "match") == nil && refuses(list(at(route, "handle")), depth-1) {
					return true
				}
			}
		}
	}
	return false
}

func isErrorCode(code any) bool {
	switch v := code.(type) {
	case float64:
		return v >= 400
	case string:
		n, err := strconv.Atoi(v)
		return err == nil && n >= 400
	}
	return false
}
