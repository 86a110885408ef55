package sandbox

import (
	"cmp"
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
)

// Config says which account a [Sandbox] serves and how it behaves.
type Config struct {
	// APIKey is the api_key that callers must present; no colon, since HTTP Basic
	// could not carry it. Default, with APISecret: any credentials are accepted.
	APIKey string

	// APISecret is the api_secret that callers must present. It is set if, and only
	// if, APIKey is.
	APISecret string

	// Code is the right code of every verification, 4 to 10 letters, digits or
	// dashes. Default: a random PIN of code_length digits for each.
	Code string

	// API is what is answered: [V1], /verify/…, [V2], /v2/verify…, or "v1 v2" for
	// both, which know nothing of each other's verifications. Default: V1.
	API string

	// Application is the id of the application in whose name JWTs of v2 are signed. It
	// is set if, and only if, PublicKey is, and then a caller of v2 presents a JWT or
	// APIKey and APISecret. Default, without APIKey: any credentials are accepted.
	Application string

	// PublicKey is the application's RSA key in PEM, of 2048 bits or more.
	PublicKey string

	// Webhook is the URL that is told of verifications of v2 that were started with a
	// JWT: of each step that ends an event, at the end a summary. It needs Close to be
	// called. Default: none is told.
	Webhook string

	// SignatureSecret signs webhooks. It is set if, and only if, Webhook is.
	SignatureSecret string

	// Transport delivers webhooks. Default: http.DefaultTransport.
	Transport http.RoundTripper

	// AllowPinCode says that the account may choose its codes by the parameter
	// pin_code, in v2 code. Default: no, such a request is answered with status 20, in
	// v2 with 422.
	AllowPinCode bool

	// Speed is how many seconds pass in a verification for each real second,
	// above 0 and up to 86400. Default: 1.
	Speed float64

	// Limit is how many calls the account may make in any real second, 0.001 to
	// 100,000; one more is answered with status 1. Negative: no limit.
	// Default: 30.
	Limit float64

	// Record is how many calls are kept for [Sandbox.Calls]. Negative: none.
	// Default: 10,000.
	Record int

	// Faults are what goes wrong from the start; see [ParseFault]. Default: none.
	Faults []Fault

	// Logger gets one line for each call, with request_id and code for a new
	// verification, but never the secret. Default: none.
	Logger *slog.Logger
}

// Sandbox is a Verify API for one account. It is made by [New] or
// [Sandbox.With] and may be used by several goroutines at once.
type Sandbox struct {
	*account
	cfg       Config // Faults, Code, Limit and Speed are guarded by the account's mu
	publicKey *rsa.PublicKey
	faults    []*scheduled
}

// account is what the sandboxes of an account have in common.
type account struct {
	mu            sync.Mutex // guards all of it
	clock         clock
	verifications verifications
	limit         limit
	record        record
	webhooks      webhooks
	templates     []*template
	problems      int // written so far: each in the next spelling
	conflicts     int // of verifications with others
}

// New returns a Sandbox with no verifications. The error names the setting that
// cannot be used, as docs/sandbox.md does, and what it should be.
func New(cfg Config) (*Sandbox, error) {
	s, err := new(account).with(cfg)
	if err != nil {
		return nil, err
	}
	s.clock = newClock(s.cfg.Speed)
	s.webhooks.realTime = s.clock.realTime
	s.record.keep = s.cfg.Record
	s.Reset()
	return s, nil
}

// With returns a Sandbox for the same account with settings of its own: the
// verifications, the calls recorded and those counted for the limit are the same.
// The clock goes on from where it stands, at the speed of the one that was called
// last. Config.Record stays that of the first.
func (s *Sandbox) With(cfg Config) (*Sandbox, error) { return s.account.with(cfg) }

func (a *account) with(cfg Config) (*Sandbox, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	faults, err := schedule(cfg.Faults)
	if err != nil {
		return nil, err
	}
	s := &Sandbox{account: a, cfg: cfg, faults: faults}
	if cfg.PublicKey != "" {
		if s.publicKey, err = parsePublicKey(cfg.PublicKey); err != nil {
			return nil, err
		}
	}
	if cfg.Webhook != "" {
		a.mu.Lock()
		a.webhooks.open = append(a.webhooks.open, s)
		a.mu.Unlock()
	}
	return s, nil
}

// complete puts in the defaults and checks all but the faults.
func (cfg *Config) complete() error {
	if cfg.Speed == 0 {
		cfg.Speed = 1
	}
	if cfg.Limit == 0 {
		cfg.Limit = 30
	}
	if cfg.Record == 0 {
		cfg.Record = 10_000
	}
	if cfg.API == "" {
		cfg.API = V1
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case cfg.APIKey == "" && cfg.APISecret != "":
		return errors.New("sandbox: the api_key of credentials is empty: write the one that callers present, or leave out credentials to accept any")
	case strings.Contains(cfg.APIKey, ":"):
		return errors.New("sandbox: the api_key of credentials has a colon, which HTTP Basic cannot carry: use letters and digits")
	case cfg.APISecret == "" && cfg.APIKey != "":
		return errors.New("sandbox: the api_secret of credentials is empty: write the one that callers present, or leave out credentials to accept any")
	case cfg.Code != "" && !isCode(cfg.Code):
		return fmt.Errorf("sandbox: code %q cannot be a code: use 4 to 10 letters, digits or dashes", cfg.Code)
	case !(cfg.Speed > 0 && cfg.Speed <= maxSpeed):
		return fmt.Errorf("sandbox: speed %v is out of range: use more than 0 and at most %d", cfg.Speed, maxSpeed)
	case !(cfg.Limit < 0 || cfg.Limit >= minLimit && cfg.Limit <= maxLimit):
		return fmt.Errorf("sandbox: limit %v is out of range: use %v to %v calls a second, or off", cfg.Limit, minLimit, maxLimit)
	}
	return cfg.completeV2()
}

// Reset forgets every verification, template, recorded call and count. The faults stay
// as they are and count their shares from the beginning.
func (s *Sandbox) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.verifications, s.templates = newVerifications(), nil
	s.limit, s.problems, s.conflicts = limit{}, 0, 0
	s.webhooks.reset()
	s.stir()
	s.record = record{keep: s.record.keep, received: map[string]int{}}
	for _, f := range s.faults {
		f.seen = 0
	}
}

// ServeHTTP answers one call to the Verify API, tells of them at [CallsPath], or
// changes the settings at [FaultsPath].
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case CallsPath:
		s.serveCalls(w, r)
		return
	case FaultsPath:
		s.serveFaults(w, r)
		return
	}
	read, refuse := read, refuse
	if isV2(r.URL.Path) && s.cfg.is(V2) {
		read, refuse = readV2, refuseV2
	}
	c, refused := read(w, r)
	if c.api == V1 && !s.cfg.is(V1) {
		c.operation, c.format, refused = "", "", http.StatusNotFound
	}
	seen := newCall(c, r)
	if refused != 0 {
		seen.HTTPStatus = refused
		s.mu.Lock()
		s.record.add(seen)
		s.mu.Unlock()
		s.log(r.Context(), seen)
		refuse(w, r, refused)
		return
	}
	p, a := s.handle(r.Context(), c, seen)
	if !pause(r.Context(), p.delay) {
		panic(http.ErrAbortHandler) // the client has left
	}
	p.write(w, r, c, a)
}

// handle takes a call through the account's faults and then, unless one comes
// in its place, does what the call asks for.
func (s *Sandbox) handle(ctx context.Context, c call, seen Call) (plan, answer) {
	s.mu.Lock()
	s.clock.run(s.cfg.Speed)
	p := planFor(s.faults, c)
	var a answer
	switch {
	case p.works():
		a = s.do(c)
	case p.fault.problem != nil:
		a = s.problem(*p.fault.problem)
	case p.fault.Kind == "status" && c.api == V2:
		a = s.counterpart(c, fmt.Sprint(p.fault.number))
	case p.fault.Kind == "status":
		a = refusal(c.operation, fmt.Sprint(p.fault.number), c.get("request_id"), "")
	}
	seen.HTTPStatus, seen.Status, seen.Fault = p.httpStatus(a), a.status(), p.String()
	seen.RequestID, seen.Code = cmp.Or(a.requestID, c.v2.id, c.get("request_id")), a.code
	s.record.add(seen)
	s.stir()
	s.mu.Unlock()
	s.log(ctx, seen)
	return p, a
}

// do answers a call by the account's rules. The caller holds s.mu.
func (s *Sandbox) do(c call) answer {
	switch {
	case c.api == V2:
		return s.doV2(c)
	case c.apiKey == "":
		return refusal(c.operation, "2", "", "Missing api_key")
	case c.apiSecret == "":
		return refusal(c.operation, "2", "", "Missing api_secret")
	case s.cfg.APIKey != "" && (c.apiKey != s.cfg.APIKey || c.apiSecret != s.cfg.APISecret):
		return refusal(c.operation, "4", "", "")
	case !s.limit.allow(s.cfg.Limit):
		return refusal(c.operation, "1", "", "")
	}
	switch c.operation {
	case "check":
		return s.check(c)
	case "search":
		return s.search(c)
	case "control":
		return s.control(c)
	case "psd2":
		return s.psd2(c)
	default:
		return s.request(c)
	}
}

// log writes the line of one call.
func (s *Sandbox) log(ctx context.Context, seen Call) {
	if !s.cfg.Logger.Enabled(ctx, slog.LevelInfo) {
		return
	}
	attrs := []slog.Attr{
		slog.String("operation", seen.Operation),
		slog.String("format", seen.Format),
		slog.Int("http_status", seen.HTTPStatus),
		slog.String("status", seen.Status),
	}
	if seen.Fault != "" {
		attrs = append(attrs, slog.String("fault", seen.Fault))
	}
	if seen.Code != "" {
		attrs = append(attrs, slog.String("request_id", seen.RequestID), slog.String("code", seen.Code))
	}
	if note := gatewayHolds[seen.Status]; note != "" {
		attrs = append(attrs, slog.String("note", note))
	}
	s.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "sandbox call", attrs...)
}

// refuse answers what is no call to the Verify API.
func refuse(w http.ResponseWriter, _ *http.Request, code int) {
	if code == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", "GET, POST")
	}
	http.Error(w, http.StatusText(code), code)
}
