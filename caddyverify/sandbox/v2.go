package sandbox

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
)

// The APIs that a Sandbox can be.
const (
	V1 = "v1" // /verify/…
	V2 = "v2" // /v2/verify…
)

// PathV2 is where v2 is; a start is at this very path, all else below it.
const PathV2 = "/v2/verify"

// callV2 is what a call of v2 has beyond others.
type callV2 struct {
	to     string // what is asked for: start, check, cancel, next, templates or unblock
	id     string // the request_id in the path
	body   []byte
	host   string // that the client called
	bearer string // the JWT

	templates callTemplates
}

// operationsV2 are the names in Call.Operation.
var operationsV2 = map[string]string{
	"start": "request", "check": "check", "cancel": "control", "next": "control", "templates": "templates", "unblock": "unblock",
}

// readV2 makes a call of an HTTP request; refused is the HTTP status where there is
// nothing to call, and otherwise 0.
func readV2(w http.ResponseWriter, r *http.Request) (c call, refused int) {
	c.api, c.format = V2, "json"
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	c.v2.to, c.v2.id, refused = routeV2(r.Method, r.URL.EscapedPath())
	c.operation = operationsV2[c.v2.to]
	if refused != 0 {
		return c, refused
	}
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &tooBig):
		return c, http.StatusRequestEntityTooLarge
	case err != nil:
		return c, http.StatusBadRequest
	}
	c.v2.body, c.v2.host = body, r.Host
	if c.v2.to == "templates" {
		c.v2.templates = callTemplates{r.Method, strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), PathV2+"/"), "/"), r.URL.Query()}
	}
	c.params = jsonParams(body)
	if key, secret, ok := r.BasicAuth(); ok {
		c.found("basic", key, secret)
	} else if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") && token != "" {
		c.places = append(c.places, "bearer")
		c.v2.bearer = token
	}
	return c, 0
}

// routeV2 reads method and path, undecoded so that there is one way to write it.
func routeV2(method, path string) (to, id string, refused int) {
	rest := strings.TrimPrefix(path, PathV2)
	parts := strings.Split(strings.TrimPrefix(rest, "/"), "/")
	post := method == http.MethodPost
	switch {
	case rest == "" || rest == "/":
		if post {
			return "start", "", 0
		}
	case parts[0] == "templates":
		return routeTemplates(method, parts)
	case rest == "/network-unblock":
		if post {
			return "unblock", "", 0
		}
		return "", "", http.StatusForbidden // the edge's
	case len(parts) == 1 && post:
		return "check", parts[0], 0
	case len(parts) == 1 && method == http.MethodDelete:
		return "cancel", parts[0], 0
	case len(parts) == 2 && parts[1] == "next_workflow" && post:
		return "next", parts[0], 0
	}
	return "", "", http.StatusNotFound
}

// routeTemplates is for what begins with templates.
func routeTemplates(method string, parts []string) (to, id string, refused int) {
	list := []string{http.MethodGet, http.MethodPost}
	one := []string{http.MethodGet, http.MethodPatch, http.MethodDelete}
	allowed := list
	switch {
	case len(parts) > 4, len(parts) > 2 && parts[2] != "template_fragments", slices.Contains(parts, ""):
		return "", "", http.StatusNotFound
	case len(parts)%2 == 0:
		allowed = one
	}
	switch {
	case slices.Contains(allowed, method):
		return "templates", "", 0
	case method == http.MethodPut:
		return "", "", http.StatusNotFound
	}
	return "", "", http.StatusMethodNotAllowed
}

// refuseV2 answers what is no call, in the ways of the several machines that it may
// meet at the provider.
func refuseV2(w http.ResponseWriter, r *http.Request, code int) {
	path := r.URL.EscapedPath()
	switch {
	case r.Method == http.MethodDelete && (path == PathV2 || path == PathV2+"/"):
		a := problemAnswer(spellings[1], problem{code: code, title: "No static resource v2/verify.", slug: "not-found"})
		plan{}.write(w, r, call{format: "json"}, a)
	case code == http.StatusNotFound:
		http.Error(w, "404 page not found", code)
	case code == http.StatusMethodNotAllowed:
		w.WriteHeader(code)
	default:
		http.Error(w, http.StatusText(code), code)
	}
}

// doV2 answers a call of v2 by the account's rules. The caller holds s.mu.
func (s *Sandbox) doV2(c call) answer {
	application, refused := s.authenticate(c)
	switch {
	case refused != nil:
		return s.problem(*refused)
	case !s.limit.allow(s.cfg.Limit):
		return s.problem(throttled)
	}
	switch c.v2.to {
	case "check":
		return s.checkV2(c)
	case "cancel":
		return s.cancelV2(c)
	case "next":
		return s.nextV2(c)
	case "templates":
		return s.templatesV2(c)
	case "unblock":
		return s.problem(problem{code: http.StatusForbidden, title: "Forbidden", detail: "Your account does not have permission to perform this action.", slug: "forbidden"})
	default:
		return s.startV2(c, application)
	}
}

func isV2(path string) bool { return path == PathV2 || strings.HasPrefix(path, PathV2+"/") }
