package live

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/status"
)

// Page shows the gateway as it is: the last day, from memory. It only reads.
type Page struct {
	// Accounts are those that the gateway has now.
	Accounts func() []*gateway.Account
	// Version is the gateway's.
	Version string
	// Faults is the path of a sandbox's faults, which the page then switches on and off;
	// empty for none.
	Faults string
	// Done ends the streams.
	Done <-chan struct{}
}

// Paths that a Page answers.
const (
	Path       = "/live"
	StreamPath = Path + "/stream"
)

var (
	//go:embed assets/page.html.tmpl
	pageHTML string
	//go:embed assets/page.css
	pageCSS string
	//go:embed assets/page.js
	pageJS string
	//go:embed assets/uPlot.min.css
	chartCSS string
	//go:embed assets/uPlot.iife.min.js
	chartJS string

	style  = chartCSS + pageCSS
	script = chartJS + pageJS

	page = template.Must(template.New("page").Funcs(template.FuncMap{
		"style":  func() template.HTML { return template.HTML("<style>" + style + "</style>") },    //nolint:gosec // ours
		"script": func() template.HTML { return template.HTML("<script>" + script + "</script>") }, //nolint:gosec // ours
		"share":  status.Share, "money": status.Amounts, "quantity": status.Quantity, "label": label,
		"used": func(v float64) string { return status.Share(&v) }, "of": of, "change": change, "table": func(name, origin string, groups []group) table { return table{name, origin, groups} },
	}).Parse(pageHTML))

	// Nothing but what is in the page itself, by its hash, and its stream.
	policy = strings.Join([]string{
		"default-src 'none'", "script-src " + hashOf(script), "style-src " + hashOf(style), "connect-src 'self'", "img-src data:",
		"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
		"require-trusted-types-for 'script'", "trusted-types 'none'",
	}, "; ")
)

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// table is what a table of groups is made of.
type table struct {
	Name, Origin string
	Groups       []group
}

func of(part, whole uint32) string {
	if whole == 0 {
		return status.Share(nil)
	}
	share := float64(part) / float64(whole)
	return status.Share(&share)
}

// change is a difference of shares in percentage points.
func change(v *float64) string {
	switch {
	case v == nil:
		return status.Share(nil)
	case *v < 0:
		return fmt.Sprintf("−%.1f", -*v*100)
	}
	return fmt.Sprintf("+%.1f", *v*100)
}

// origin is the gateway as the reader has reached it.
func origin(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// label is an account as people call it.
func label(a status.Account) string {
	if len(a.Names) > 0 {
		return strings.Join(a.Names, ", ")
	}
	return a.Account
}

// ServeHTTP answers Path and StreamPath, by GET alone.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "this page only reads: use GET", http.StatusMethodNotAllowed)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	account := p.chosen(r.URL.Query().Get("account"))
	if r.URL.Path == StreamPath {
		p.stream(w, r, account)
		return
	}
	v := view{Version: p.Version, Host: hostname(), Origin: origin(r), Accounts: p.statuses(), Faults: p.Faults, Time: time.Now().UTC()}
	if account != nil {
		v.chosen(account)
	}
	var body bytes.Buffer
	if err := page.Execute(&body, v); err != nil {
		http.Error(w, "the page cannot be made", http.StatusInternalServerError)
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	_, _ = body.WriteTo(w)
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "this gateway"
	}
	return name
}

// chosen is the account of a label, or else the first.
func (p *Page) chosen(label string) *gateway.Account {
	all := p.Accounts()
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b *gateway.Account) int { return strings.Compare(a.Label(), b.Label()) })
	for _, account := range all {
		if account.Label() == label {
			return account
		}
	}
	return all[0]
}

func (p *Page) statuses() (all []status.Account) {
	for _, account := range p.Accounts() {
		all = append(all, status.Of(account))
	}
	status.Sort(all)
	return all
}
