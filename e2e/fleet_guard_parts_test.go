//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// guarded is a fleet whose account has a guard.
type guarded struct {
	*fleet

	startMu sync.Mutex
	numbers []string
	apps    map[string]string // by number
}

// startOf is what a start has that is not as all have it.
type startOf struct {
	app, prefix, address string
}

// begin starts a verification of one message, of a number that is new.
func (g *guarded) begin(t *testing.T, m *member, of startOf) *fleetAnswer {
	t.Helper()
	if of.prefix == "" {
		of.prefix = "44771900"
	}
	g.startMu.Lock()
	n := len(g.numbers)
	if of.app == "" {
		of.app = fleetApps[n%3]
	}
	if g.apps == nil {
		g.apps = map[string]string{}
	}
	number := fmt.Sprintf("%s%04d", of.prefix, n)
	g.numbers, g.apps[number] = append(g.numbers, number), of.app
	g.startMu.Unlock()
	c := fleetCall{
		app: of.app, operation: "request", format: "json", params: url.Values{"brand": {"Acme"}, "number": {number}, "workflow_id": {"6"}},
	}
	if of.address != "" {
		c.params.Set("ip_address", of.address)
	}
	a, err := g.at(t.Context(), m, c)
	if err != nil {
		t.Errorf("a start: %v", err)
		return &fleetAnswer{}
	}
	if a.Status != "0" && !strings.Contains(a.proxy, "guard_refused") {
		t.Errorf("a start is answered %v", a)
	}
	return a
}

func (g *guarded) appOf(number string) string {
	g.startMu.Lock()
	defer g.startMu.Unlock()
	return g.apps[number]
}

// refusedBy wants it to be the guard's refusal by a rule.
func (a *fleetAnswer) refusedBy(status, rule string) error {
	if a.Status != status || !strings.Contains(a.proxy, `"guard_refused: `+rule+`"`) {
		return fmt.Errorf("it is answered %v, not refused by %s", a, rule)
	}
	return nil
}

// checkAll enters the codes of all that is under way, anywhere, and returns how many were right: each costs all that it can.
func (g *guarded) checkAll(t *testing.T) int {
	t.Helper()
	var right atomic.Int64
	var checking sync.WaitGroup
	all := g.api.Verifications()
	for i, m := range g.members {
		checking.Go(func() {
			for n := i; n < len(all); n += len(g.members) {
				if all[n].Status != "IN PROGRESS" {
					continue
				}
				a, err := g.at(t.Context(), m, fleetCall{
					app: g.appOf(all[n].Number), operation: "check", format: "json",
					params: url.Values{"request_id": {all[n].RequestID}, "code": {fleetCode}},
				})
				switch {
				case err != nil || a.Status != "0" && a.Status != "6": // it has expired meanwhile
					t.Errorf("a check is answered %v (%v)", a, err)
				case a.Status == "0":
					right.Add(1)
				}
			}
		})
	}
	checking.Wait()
	return int(right.Load())
}

// opens waits until there is money at all gateways.
func (g *guarded) opens(t *testing.T) {
	t.Helper()
	for i, m := range g.members {
		eventually(t, fmt.Sprintf("gateway %d has money", i), func() error {
			if a := g.begin(t, m, startOf{}); a.Status != "0" {
				return fmt.Errorf("a start is answered %v", a)
			}
			return nil
		})
	}
}

func (g *guarded) passes(t *testing.T, m *member, address string) {
	t.Helper()
	if a := g.begin(t, m, startOf{app: fleetApps[0], address: address}); a.Status != "0" {
		t.Fatalf("a start is answered %v", a)
	}
}

// refusesAddress wants a start from an address to be refused for it.
func (g *guarded) refusesAddress(t *testing.T, m *member, address string) error {
	t.Helper()
	return g.begin(t, m, startOf{app: fleetApps[0], address: address}).refusedBy("1", "per_address")
}

// refusesPlace wants a start in a place to be refused since it is blocked, or not for that.
func (g *guarded) refusesPlace(t *testing.T, m *member, place string, want bool) error {
	t.Helper()
	a := g.begin(t, m, startOf{app: fleetApps[0], prefix: place})
	err := a.refusedBy("7", "block")
	if want {
		return err
	}
	if err == nil {
		return fmt.Errorf("a start in %s is answered %v", place, a)
	}
	return nil
}

// sayNoNumber looks for numbers in what the gateways have printed.
func (g *guarded) sayNoNumber(t *testing.T) {
	t.Helper()
	for i, m := range g.members {
		said := m.process.output.String()
		if !strings.Contains(said, "guard exhausted") {
			t.Errorf("gateway %d does not tell that its budget is exhausted", i)
		}
		for _, number := range g.numbers {
			if strings.Contains(said, number) {
				t.Errorf("gateway %d has said a number, %s", i, number)
			}
		}
	}
}

// caddy runs a command of the real Caddy, which is to succeed.
func (g *guarded) caddy(t *testing.T, args ...string) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	state := t.TempDir()
	command := exec.CommandContext(ctx, path, args...)
	command.Env = append(os.Environ(), "HOME="+state, "XDG_DATA_HOME="+state, "XDG_CONFIG_HOME="+state)
	said, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("caddy %q: %v\n%s", args, err, said)
	}
	return string(said)
}

// command runs caddy verify at a gateway.
func (g *guarded) command(t *testing.T, m *member, says string, args ...string) string {
	t.Helper()
	said := g.caddy(t, append(append([]string{"verify"}, args...), "--address", m.admin)...)
	if !strings.Contains(said, says) {
		t.Errorf("caddy verify %q says, without %q:\n%s", args, says, said)
	}
	return said
}

// reload gives all gateways other settings.
func (g *guarded) reload(t *testing.T, settings string) {
	t.Helper()
	for _, m := range g.members {
		config := strings.Replace(m.config, guardBlock(guardSmall), settings, 1)
		if config == m.config {
			t.Fatal("the settings are not in the configuration")
		}
		m.config = config
		path := filepath.Join(t.TempDir(), "Caddyfile")
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		g.caddy(t, "reload", "--config", path, "--adapter", "caddyfile", "--address", m.admin)
	}
}

// figures are those of the account's budget, in millionths of a EUR.
type figures struct{ settled, reserved, cap int64 }

func (f figures) used() int64 { return f.settled + f.reserved }

var figuresPattern = regexp.MustCompile(`^budget account/day: settled ([0-9.]+) EUR, reserved ([0-9.]+) EUR, cap ([0-9.]+) EUR$`)

// figures are as a gateway tells them to operators.
func (g *guarded) figures(t *testing.T, m *member) (f figures) {
	t.Helper()
	response, err := g.client.Get("http://" + m.admin + "/verify/guard")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var told struct {
		Accounts []struct{ Budgets []struct{ Figures string } }
	}
	if err := json.NewDecoder(response.Body).Decode(&told); err != nil {
		t.Fatal(err)
	}
	if len(told.Accounts) != 1 || len(told.Accounts[0].Budgets) != 1 {
		t.Fatalf("a gateway tells of other budgets: %+v", told)
	}
	text := told.Accounts[0].Budgets[0].Figures
	match := figuresPattern.FindStringSubmatch(text)
	if match == nil {
		t.Fatalf("a gateway tells %q", text)
	}
	return figures{micro(number(match[1])), micro(number(match[2])), micro(number(match[3]))}
}

func micro(amount float64) int64 { return int64(math.Round(amount * 1e6)) }

// compareCharged has the provider's time pass until all that was started is over, and wants it to have charged no more than a
// budget.
func (g *guarded) compareCharged(t *testing.T, budget float64) {
	t.Helper()
	fast, err := g.api.With(sandbox.Config{APIKey: gatewayKey, APISecret: gatewaySecret, Code: fleetCode, Speed: 3600, Limit: -1})
	if err != nil {
		t.Fatal(err)
	}
	var charged float64
	eventually(t, "the provider has charged all", func() (err error) {
		charged = 0
		for _, v := range fast.Verifications() {
			price, ended := chargedFor(fast, v.RequestID)
			if !ended {
				err = errors.Join(err, fmt.Errorf("a verification costs %.5f EUR so far", price))
			}
			charged += price
		}
		return err
	})
	t.Logf("the provider has charged %.5f EUR of %.2f EUR", charged, budget)
	if micro(charged) > micro(budget) {
		t.Errorf("the provider has charged %.5f EUR, more than %.2f EUR", charged, budget)
	}
}

// chargedFor is what the provider itself tells: price and messages. The price of the only message comes after the end.
func chargedFor(api http.Handler, requestID string) (amount float64, ended bool) {
	answer := httptest.NewRecorder()
	query := url.Values{"api_key": {gatewayKey}, "api_secret": {gatewaySecret}, "request_id": {requestID}}
	api.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/verify/search/json?"+query.Encode(), http.NoBody))
	var told struct {
		Status, Price string
		Messages      string `json:"estimated_price_messages_sent"`
	}
	if json.Unmarshal(answer.Body.Bytes(), &told) != nil {
		return 0, false
	}
	messages := number(told.Messages)
	return number(told.Price) + messages, told.Status != "IN PROGRESS" && messages > 0
}
