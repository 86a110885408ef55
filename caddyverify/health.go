package caddyverify

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func init() {
	caddy.RegisterModule(Health{})
}

// Health tells load balancers and orchestrators how the gateway is. It answers GET and
// HEAD of /health/live, with 200 while the process serves, and of /health/ready, with 200
// while a configuration is in force and with 503 before that and from the moment on that
// Caddy is told to stop; other paths are left to the next handler.
//
// What is wrong with an account stands in the body of /health/ready: a circuit that is
// not closed, a status for which the provider refuses the account, a limit that the
// provider's throttling has lowered. That is still 200: all gateways see one provider,
// and a balancer that takes all of them out has nobody left to say what is wrong, or to
// answer searches from memory. Asking costs the provider nothing.
type Health struct {
	// Strict answers /health/ready with 503 also while something is wrong with an
	// account. Default: `false`.
	Strict bool `json:"strict,omitempty"`
}

const (
	livePath  = "/health/live"
	readyPath = "/health/ready"
)

// healthReport is the body of an answer.
type healthReport struct {
	// Status is live, ready, degraded, starting or stopping.
	Status   string          `json:"status"`
	Accounts []accountHealth `json:"accounts,omitempty"`
}

// accountHealth is what is wrong with an account.
type accountHealth struct {
	Account string `json:"account"` // the metrics' label
	// Circuits are the states of those that are not closed, by class.
	Circuits map[string]string `json:"circuits,omitempty"`
	// Refused are the statuses for which the provider refuses the account.
	Refused []wire.Status `json:"refused,omitempty"`
	// Limit is there while the provider's throttling has lowered it, in calls a second.
	Limit *loweredLimit `json:"limit,omitempty"`
}

type loweredLimit struct {
	Now  int `json:"now"`
	Full int `json:"full"`
}

// CaddyModule returns the Caddy module information.
func (Health) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.verify_health",
		New: func() caddy.Module { return new(Health) },
	}
}

// UnmarshalCaddyfile sets up the handler from Caddyfile tokens. Syntax:
//
//	verify_health [<matcher>] {
//	    strict
//	}
func (h *Health) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return subdirectives(d, []string{"strict"}, func(name string) error {
		h.Strict = true
		return noArgs(d, name)
	})
}

// ServeHTTP answers the two paths.
func (h *Health) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	switch {
	case r.URL.Path != livePath && r.URL.Path != readyPath:
		return next.ServeHTTP(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return nil
	}
	code, report := http.StatusOK, healthReport{Status: "live"}
	if r.URL.Path == readyPath {
		code, report = h.ready(r)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(report) // to whom has left
	return nil
}

func (h *Health) ready(r *http.Request) (int, healthReport) {
	if status := notReady(r); status != "" {
		return http.StatusServiceUnavailable, healthReport{Status: status}
	}
	var report healthReport
	accounts.Range(func(_, value any) bool {
		snapshot := value.(pooledAccount).Snapshot()
		if health, degraded := healthOf(&snapshot); degraded {
			report.Accounts = append(report.Accounts, health)
		}
		return true
	})
	if len(report.Accounts) == 0 {
		report.Status = "ready"
		return http.StatusOK, report
	}
	slices.SortFunc(report.Accounts, func(a, b accountHealth) int { return cmp.Compare(a.Account, b.Account) })
	report.Status = "degraded"
	if h.Strict {
		return http.StatusServiceUnavailable, report
	}
	return http.StatusOK, report
}

// notReady tells why no new calls should come here; it is empty if they may. That a
// configuration is in force, and not that this handler's is, counts: in a reload both take
// calls for a moment, on one socket.
func notReady(r *http.Request) string {
	if caddy.Exiting() {
		return "stopping"
	}
	// With shutdown_delay a server that is about to close serves on for a while, also in a
	// reload that drops its address.
	replacer, _ := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if server, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); server != nil && replacer != nil {
		if closing, _ := replacer.Get("http.shutting_down"); closing == true {
			return "stopping"
		}
	}
	if caddy.ActiveContext().Context == nil {
		return "starting"
	}
	return ""
}

func healthOf(s *gateway.Snapshot) (health accountHealth, degraded bool) {
	health = accountHealth{Account: s.Account, Refused: s.Suspended()}
	for _, circuit := range s.Circuits {
		if circuit.State != wire.CircuitClosed {
			if health.Circuits == nil {
				health.Circuits = map[string]string{}
			}
			health.Circuits[string(circuit.Class)] = string(circuit.State)
		}
	}
	if s.Limit.Rate < s.Limit.Full {
		health.Limit = &loweredLimit{Now: s.Limit.Rate, Full: s.Limit.Full}
	}
	return health, len(health.Circuits) > 0 || len(health.Refused) > 0 || health.Limit != nil
}

// Interface guards
var (
	_ caddyhttp.MiddlewareHandler = (*Health)(nil)
	_ caddyfile.Unmarshaler       = (*Health)(nil)
)
