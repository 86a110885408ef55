package caddyverify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/live"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/status"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/version"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func init() {
	caddy.RegisterModule(adminAPI{})
}

// adminAPI tells operators, on Caddy's admin endpoint, how the gateway is, and lets them
// act: docs/admin.md has its paths and documents.
type adminAPI struct {
	ctx    caddy.Context
	logger *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.verify",
		New: func() caddy.Module { return new(adminAPI) },
	}
}

// Provision sets up the module.
func (a *adminAPI) Provision(ctx caddy.Context) error {
	a.ctx, a.logger = ctx, caddy.Log().Named(string(a.CaddyModule().ID)) // Caddy gives admin modules none of a name
	return nil
}

const adminPrefix = "/verify/"

// Routes returns the routes of the admin API.
func (a *adminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{Pattern: adminPrefix, Handler: caddy.AdminHandlerFunc(a.serve)}}
}

// serve leads to what a path names.
func (a *adminAPI) serve(w http.ResponseWriter, r *http.Request) error {
	path := strings.Split(strings.TrimPrefix(r.URL.Path, adminPrefix), "/")
	for _, route := range []struct {
		method, path string
		serve        func(w http.ResponseWriter, r *http.Request, named []string) error
	}{
		{http.MethodGet, "accounts", a.accounts},
		{http.MethodGet, "accounts/*", a.account},
		{http.MethodPost, "accounts/*/try", a.try},
		{http.MethodGet, "verifications/*", a.verification},
		{http.MethodGet, "events", a.events},
		{http.MethodPost, "cache/purge", a.purge},
		{http.MethodPost, "breaker/*/*/open", a.openCircuit},
		{http.MethodPost, "breaker/*/*/close", a.closeCircuit},
		{http.MethodGet, "guard", a.guardReports},
		{http.MethodPost, "guard/block", a.pinBlock},
		{http.MethodPost, "guard/lift", a.liftBlocks},
	} {
		named, ok := matchPath(strings.Split(route.path, "/"), path)
		if !ok {
			continue
		}
		allowed := []string{route.method}
		if route.method == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
		if !slices.Contains(allowed, r.Method) {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			return apiError(http.StatusMethodNotAllowed, "%s takes %s", r.URL.Path, route.method)
		}
		return route.serve(w, r, named)
	}
	return apiError(http.StatusNotFound, "there is no %s; GET /verify/accounts is a start, and docs/admin.md has the others", r.URL.Path)
}

// matchPath returns what stands in a path in the place of asterisks.
func matchPath(pattern, path []string) (named []string, ok bool) {
	if len(pattern) != len(path) {
		return nil, false
	}
	for i, part := range pattern {
		switch {
		case part == "*" && path[i] != "":
			named = append(named, path[i])
		case part != path[i]:
			return nil, false
		}
	}
	return named, true
}

func apiError(code int, format string, args ...any) error {
	return caddy.APIError{HTTPStatus: code, Err: fmt.Errorf(format, args...)}
}

func answer(w http.ResponseWriter, document any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	return json.NewEncoder(w).Encode(document)
}

// statusNow is the status of all accounts.
func statusNow() status.Status {
	all := status.Status{Version: version.String(), Go: runtime.Version(), Time: time.Now().UTC(), Accounts: []status.Account{}}
	for _, account := range allAccounts() {
		all.Accounts = append(all.Accounts, status.Of(account))
	}
	status.Sort(all.Accounts)
	return all
}

func allAccounts() (all []*gateway.Account) {
	accounts.Range(func(_, value any) bool {
		all = append(all, value.(pooledAccount).Account)
		return true
	})
	return all
}

func (*adminAPI) accounts(w http.ResponseWriter, _ *http.Request, _ []string) error {
	return answer(w, statusNow())
}

func (*adminAPI) account(w http.ResponseWriter, _ *http.Request, named []string) error {
	account, err := accountNamed(named[0])
	if err != nil {
		return err
	}
	return answer(w, status.Of(account))
}

// accountNamed finds an account by its label, or by the name that the configuration has
// for it.
func accountNamed(name string) (found *gateway.Account, err error) {
	var labels []string
	for _, account := range allAccounts() {
		if account.Label() == name || slices.Contains(account.Names(), name) {
			if found != nil {
				return nil, apiError(http.StatusConflict, "there are several accounts %q: they have the same end of their api_key; use the name that the global option verify has for it", name)
			}
			found = account
		}
		labels = append(labels, append(account.Names(), account.Label())...)
	}
	if found == nil {
		slices.Sort(labels)
		return nil, apiError(http.StatusNotFound, "there is no account %q; there are %q", name, labels)
	}
	return found, nil
}

func (*adminAPI) verification(w http.ResponseWriter, _ *http.Request, named []string) error {
	for _, account := range allAccounts() {
		if known, ok := status.VerificationOf(account, named[0]); ok {
			return answer(w, known)
		}
	}
	return apiError(http.StatusNotFound, "this gateway knows no verification %q: it was started elsewhere or before the gateway began, ended over an hour ago, or never was; a search tells more", named[0])
}

func (a *adminAPI) purge(w http.ResponseWriter, r *http.Request, _ []string) error {
	var asked purgeRequest
	if err := readJSON(w, r, &asked); err != nil {
		return err
	}
	if id := asked.RequestID; id != "" && wire.UUID(id) == "" && wire.RedactID(id) != id {
		// It is not shown: it may be a phone number.
		return apiError(http.StatusBadRequest, "that is no request_id, and nothing was purged; write the one that the answer to the request has, or none to purge all")
	}
	purged := allAccounts()
	if asked.Account != "" {
		account, err := accountNamed(asked.Account)
		if err != nil {
			return err
		}
		purged = []*gateway.Account{account}
	}
	for _, account := range purged {
		account.Purge(asked.RequestID)
	}
	return answer(w, done{Done: len(purged)})
}

// purgeRequest says what is purged: all, but for what is given.
type purgeRequest struct {
	Account   string `json:"account,omitempty"`
	RequestID string `json:"request_id,omitempty"`
}

// done is the answer to an action: on how many things it was taken.
type done struct {
	Done int `json:"done"`
}

// readJSON reads a small document, or none.
func readJSON(w http.ResponseWriter, r *http.Request, into any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return apiError(http.StatusBadRequest, "the body is no document of this path (docs/admin.md): %v", err)
	}
	return nil
}

func (a *adminAPI) openCircuit(w http.ResponseWriter, _ *http.Request, named []string) error {
	return a.circuit(w, named, "open", (*gateway.Account).HoldCircuit)
}

func (a *adminAPI) closeCircuit(w http.ResponseWriter, _ *http.Request, named []string) error {
	return a.circuit(w, named, "close", (*gateway.Account).ReleaseCircuit)
}

func (a *adminAPI) circuit(w http.ResponseWriter, named []string, what string, act func(*gateway.Account, wire.Class) bool) error {
	account, err := accountNamed(named[0])
	if err != nil {
		return err
	}
	class := wire.Class(named[1])
	if !slices.Contains(wire.Classes[:], class) {
		return apiError(http.StatusNotFound, "there is no breaker %q; there are read (check, search) and write (request, psd2, control)", named[1])
	}
	if !act(account, class) {
		return apiError(http.StatusConflict, "the breakers of account %s are off", account.Label())
	}
	a.logger.Warn("an operator has set a breaker", zap.String("account", account.Label()), zap.String("breaker", string(class)), zap.String("to", what))
	return answer(w, done{1})
}

func (a *adminAPI) try(w http.ResponseWriter, _ *http.Request, named []string) error {
	account, err := accountNamed(named[0])
	if err != nil {
		return err
	}
	tried := account.Try()
	a.logger.Info("an operator has the account tried", zap.String("account", account.Label()), zap.Int("troubles", tried))
	return answer(w, done{tried})
}

// events tells what has happened and happens.
func (a *adminAPI) events(w http.ResponseWriter, r *http.Request, _ []string) error {
	if err := live.ServeEvents(w, r, a.ctx.Done(), allAccounts()); err != nil {
		w.Header().Set("Retry-After", "10")
		return apiError(http.StatusServiceUnavailable, "%v", err)
	}
	return nil
}

// Interface guards
var (
	_ caddy.AdminRouter = (*adminAPI)(nil)
	_ caddy.Provisioner = (*adminAPI)(nil)
)
