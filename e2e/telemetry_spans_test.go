//go:build e2e

package e2e

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// route is the name of an operation's paths.
func route(operation string) string { return paths[operation] + "{format}" }

// traces are the spans of clients' calls, by trace.
type traces struct {
	server map[string]span
	client map[string][]span
}

// checkSpans wants one server span for each call of a client and one client span for each call of the gateway that a
// client caused, each telling what it was answered.
func checkSpans(t *testing.T, p *script, spans []span) {
	t.Helper()
	c := &spanChecker{
		script: p,
		few:    few{t: t},
		traces: traces{server: map[string]span{}, client: map[string][]span{}},
		links:  map[string]int{},
	}
	for _, s := range spans {
		if len(s.Events) > 0 {
			c.errorf("%s has span events", s.Name)
		}
		switch s.Kind {
		case serverSpan:
			if _, twice := c.traces.server[s.TraceID]; twice {
				c.errorf("trace %s has two server spans", s.TraceID)
			}
			c.traces.server[s.TraceID] = s
		case clientSpan:
			c.traces.client[s.TraceID] = append(c.traces.client[s.TraceID], s)
		default:
			c.errorf("%s is of kind %d", s.Name, s.Kind)
		}
	}
	for _, x := range p.books.exchanges {
		c.server(x)
		for _, s := range c.traces.client[x.trace] {
			c.client(x, s)
		}
	}
	if got, want := len(c.traces.server), len(p.books.exchanges)+len(p.strays); got != want {
		t.Errorf("%d server spans, want one for each of %d calls", got, want)
	}
	c.calls()
	c.rejections()
	t.Logf("%d server spans, %d client spans; with links: %v", len(c.traces.server), len(spans)-len(c.traces.server), c.links)
	for _, operation := range []string{"check", "search", "control"} {
		if c.links[operation] == 0 {
			t.Errorf("no span of a %s is linked to its request", operation)
		}
	}
}

type spanChecker struct {
	*script
	few
	traces traces
	links  map[string]int // spans with links, by operation
}

// isTrouble tells what an operator wants to see in red of an answer to a call.
func isTrouble(status string) bool { return slices.Contains([]string{"1", "4", "5", "8", "9"}, status) }

func (c *spanChecker) server(x *exchange) {
	s, ok := c.traces.server[x.trace]
	if !ok {
		c.errorf("a %s with status %s (%s) has no server span", x.operation, x.status(), x.cause)
		return
	}
	want := attributes{
		"http.route":       route(x.operation),
		"verify.operation": x.operation,
		"verify.status":    x.answer.Status,
		"verify.cause":     x.cause,
		"verify.delivery":  x.delivered,
		"verify.country":   c.country(x),
		"verify.cache":     strings.Replace(x.cache, "coalesced", "miss", 1),
		"error.type":       "",
	}
	if !x.list && x.operation != "request" && x.cause != "missing_parameter" {
		want["verify.request_id"] = x.ids[0]
	}
	if isTrouble(x.answer.Status) {
		want["error.type"] = "verify_" + x.answer.Status
		if x.cause != "" {
			want["error.type"] = x.cause
		}
	}
	c.attributes(s, want)
	if s.Attributes["verify.breaker"] == "" {
		c.errorf("%s does not tell verify.breaker", s.Name)
	}
	if name := x.method + " " + route(x.operation); s.Name != name {
		c.errorf("the server span of a %s is named %q, want %q", x.operation, s.Name, name)
	}
	if (s.Status.Code == errorCode) != isTrouble(x.answer.Status) {
		c.errorf("the server span of a %s with status %s (%s) has span status %d", x.operation, x.status(), x.cause, s.Status.Code)
	}
	if s.ParentSpanID != x.parent {
		c.errorf("the server span of a %s has parent %q, want the application's %q", x.operation, s.ParentSpanID, x.parent)
	}
	if x.cause != "missing_parameter" && x.cause != "invalid_parameter" {
		c.linksOf(x, s)
	}
}

// country is where the one verification that a call is about goes to, as far as the gateway can know.
func (c *spanChecker) country(x *exchange) string {
	switch {
	case x.operation == "request" && x.cause != "missing_parameter" && x.cause != "invalid_parameter":
		return x.country
	case len(x.ids) == 1:
		if v := c.books.verifications[x.ids[0]]; v != nil {
			return v.country
		}
	}
	return ""
}

// attributes wants a span to have these; "" is for none.
func (c *spanChecker) attributes(s span, want attributes) {
	c.few.t.Helper()
	for name, value := range want {
		if s.Attributes[name] != value {
			c.errorf("%s: %s is %q, want %q (all: %v)", s.Name, name, s.Attributes[name], value, s.Attributes)
		}
	}
}

// linksOf wants links to the requests of all the verifications that a call is about.
func (c *spanChecker) linksOf(x *exchange, s span) {
	c.few.t.Helper()
	want, got := c.originsOf(x), linksIn(s)
	for _, l := range s.Links {
		if l.Attributes["verify.link.operation"] != "request" {
			c.errorf("%s: a link has the attributes %v", s.Name, l.Attributes)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		c.errorf("%s for %v: links to %v, want %v", s.Name, x.ids, got, want)
	}
	if len(got) > 0 {
		c.links[x.operation]++
	}
}

// originsOf are the spans of the requests of all verifications that a call is about.
func (c *spanChecker) originsOf(x *exchange) (origins []string) {
	for _, id := range x.ids {
		if v := c.books.verifications[id]; v != nil && x.operation != "request" {
			origins = append(origins, v.origin+" "+c.traces.server[v.origin].SpanID)
		}
	}
	return origins
}

func linksIn(s span) (links []string) {
	for _, l := range s.Links {
		links = append(links, l.TraceID+" "+l.SpanID)
	}
	return links
}

// client looks at a client span that belongs to a client's call.
func (c *spanChecker) client(x *exchange, s span) {
	upstream, err := url.Parse(c.gateway.upstream)
	if err != nil {
		c.few.t.Fatal(err)
	}
	full := s.Attributes["url.full"]
	if !strings.HasPrefix(full, c.gateway.upstream+paths[x.operation]) || strings.ContainsAny(full, "?@") {
		c.errorf("%s: url.full is %q", s.Name, full)
	}
	method := http.MethodPost
	if x.operation == "search" {
		method = http.MethodGet
	}
	c.attributes(s, attributes{
		"http.request.method": method,
		"server.address":      upstream.Hostname(),
		"server.port":         upstream.Port(),
		"url.template":        route(x.operation),
		"verify.operation":    x.operation,
	})
	if s.Name != method+" "+route(x.operation) {
		c.errorf("the client span of a %s is named %q", x.operation, s.Name)
	}
	if s.ParentSpanID != c.traces.server[x.trace].SpanID {
		c.errorf("%s: its parent is not the server span", s.Name)
	}
	switch {
	case x.list:
	case x.operation == "search" && s.Attributes["verify.request_id"] == "": // it went in a list with others
		c.links["list"]++
		for _, origin := range c.originsOf(x) {
			if !slices.Contains(linksIn(s), origin) {
				c.errorf("%s for %v: links to %v, but not to %v", s.Name, x.ids, linksIn(s), origin)
			}
		}
	default:
		c.attributes(s, attributes{"verify.country": c.country(x)})
		c.linksOf(x, s)
	}
}

// calls wants the client spans to tell what the sandbox answered, call by call.
func (c *spanChecker) calls() {
	got, want := map[string]float64{}, map[string]float64{}
	for _, spans := range c.traces.client {
		for _, s := range spans {
			got[describeSpan(s)]++
		}
	}
	var background int
	asked := c.asked()
	for _, call := range c.sandbox.Calls() {
		for _, name := range []string{"Traceparent", "Tracestate", "Baggage", "B3", "Uber-Trace-Id", "X-Amzn-Trace-Id", "Idempotency-Key"} {
			if call.Header.Get(name) != "" {
				c.errorf("a %s went upstream with %s", call.Operation, name)
			}
		}
		if c.bySettler(call) || byProbe(call, asked) {
			background++ // no client's trace is there to belong to
			continue
		}
		want[describeCall(call)]++
	}
	for _, difference := range differences(got, want) {
		c.errorf("client spans %s", difference)
	}
	c.few.t.Logf("%d calls upstream, %d of them by the breaker or the settler", len(c.sandbox.Calls()), background)
}

func describeSpan(s span) string {
	status := s.Attributes["verify.status"]
	if s.Attributes["error.type"] == "connection_lost" || s.Attributes["error.type"] == "upstream_error" {
		status = "" // the upstream has said nothing
	}
	words := []string{
		s.Attributes["verify.operation"], status, s.Attributes["http.response.status_code"], s.Attributes["error.type"],
		strconv.Itoa(s.Status.Code), s.Attributes["verify.request_id"],
	}
	return strings.Join(words, "|")
}

func describeCall(c sandbox.Call) string {
	status, code, kind, id := c.Status, strconv.Itoa(c.HTTPStatus), "", c.RequestID
	if len(c.Params["request_ids"]) > 0 {
		id = ""
		if !isFault(c.Operation, status) { // of the list, and not of one in it
			status = ""
		}
	}
	switch outcomeOf(c) {
	case "connection_lost":
		status, code, kind = "", "", "connection_lost"
	case "http_5xx":
		status, kind = "", "upstream_error"
	case "answered":
		if isFault(c.Operation, status) {
			kind = "verify_" + status
		}
	}
	if c.Operation == "request" && (kind == "connection_lost" || kind == "upstream_error") {
		id = ""
	}
	failed := "0"
	if kind != "" {
		failed = strconv.Itoa(errorCode)
	}
	return strings.Join([]string{c.Operation, status, code, kind, failed, id}, "|")
}

// isFault tells the answers that say that something is wrong with the call, the account or the upstream.
func isFault(operation, status string) bool {
	switch status {
	case "1", "2", "3", "4", "5", "7", "8", "9", "15", "18", "20", "29":
		return true
	case "6":
		return operation == "request"
	}
	return false
}

// rejections wants the searches that the open breaker stopped to be those of which no client span tells. A search that
// is answered with what was known, or tried again in vain, does not tell its client.
func (c *spanChecker) rejections() {
	var (
		stopped, again float64
		own            []span // of those that were stopped
	)
	for _, x := range c.books.exchanges {
		if x.operation != "search" || x.cache == "hit" || x.cache == "coalesced" || x.cause == "limit_reached" || x.cause == "caller_limit_reached" || x.cause == "account_throttled" {
			continue
		}
		spans := c.traces.client[x.trace]
		if len(spans) == 0 && !c.inList(x) {
			stopped++
			own = append(own, c.traces.server[x.trace])
		}
		for _, s := range spans {
			if s.Attributes["http.request.resend_count"] != "" {
				again++
			}
		}
	}
	// What would have gone in a list is stopped once.
	together := float64(atATime(own))
	if got, want := c.stopped-c.retries, stopped-again; got > want || got < want-together {
		c.errorf("searches rejected without a retry: got %v, want %v, or up to %v less", got, want, together)
	}
}

// inList tells that another call's list asked for what a search is about, at the same time.
func (c *spanChecker) inList(x *exchange) bool {
	own := c.traces.server[x.trace]
	for _, spans := range c.traces.client {
		for _, s := range spans {
			asked := s.Attributes["verify.request_ids"]
			if s.Start < own.End && own.Start < s.End && len(x.ids) > 0 && strings.Contains(asked, x.ids[0]) {
				return true
			}
		}
	}
	return false
}

// atATime is how many spans had begun when one before them was not over.
func atATime(spans []span) (n int) {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.Start, b.Start) })
	var end int64
	for _, s := range spans {
		if s.Start < end {
			n++
		}
		end = max(end, s.End)
	}
	return n
}
