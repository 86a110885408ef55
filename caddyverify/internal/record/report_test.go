package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
)

// TestCutByACrash has a run write on where the last one ended within a line.
func TestCutByACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name := written(t, good+`{"at":"2026-`)[0]
		g, r := guard.New(guard.Settings{}), NewRecorder(func() (io.WriteCloser, error) {
			return os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0o600)
		}, func(err error) { t.Error(err) })
		g.Record(r.Take)
		g.Decide(to("447700900123"))
		r.Close()
		starts, err := Read([]string{name})
		if err != nil || len(starts.all) != 2 || len(starts.Notes) != 1 || !strings.HasSuffix(starts.Notes[0], ":2 is cut, and left out: the gateway ended while it was written") {
			t.Errorf("it reads %+v %v", starts, err)
		}
	})
}

// TestMissingAtOnce has a line be counted by the time that it is told to be missing.
func TestMissingAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(chan struct{})
		ask := make(chan uint64)
		r := NewRecorder(func() (io.WriteCloser, error) { return nil, errors.New("no space") }, func(error) { close(told); <-ask })
		r.Take(guard.Entry{Kind: guard.Withdrawn, Serial: 1})
		<-told
		if n := r.Missing(); n != 1 {
			t.Errorf("%d are missing", n)
		}
		close(ask)
		r.Close()
	})
}

// replayed is a record of one line each, replayed.
func replayed(t *testing.T, s guard.Settings, lines ...string) *Report {
	t.Helper()
	var text strings.Builder
	for i, line := range lines {
		fmt.Fprintf(&text, `{"at":"2026-06-01T10:00:%02dZ","run":"a",%s}`+"\n", i, line)
	}
	starts, err := Read(written(t, text.String()))
	if err != nil {
		t.Fatal(err)
	}
	return starts.Replay(s)
}

// TestCosts adds up what starts have cost or could have.
func TestCosts(t *testing.T) {
	const start = `"start":1,"number":"n","prefix":"44770090","country":"GB","messages":2`
	const worst = start + `,"worst":100000,"currency":"EUR"`
	countries := guard.RuleSet{Countries: guard.Countries{Mode: guard.Enforce, Allowed: []string{"FR"}}}
	prices := guard.Prices{Any: guard.Money{Micro: 30_000, Currency: "EUR"}}
	for _, test := range []struct {
		name   string
		lines  []string
		prices guard.Prices
		want   string // verified, unverified, not begun, saved
	}{
		{"the worst", []string{worst}, prices, "0 1 0 map[EUR:0.1]"},
		{"settled", []string{worst, `"start":1,"spent":50000,"currency":"EUR"`, `"start":1,"outcome":"success"`}, prices, "1 0 0 map[EUR:0.05]"},
		{"not sent", []string{worst, `"start":1,"outcome":"withdrawn"`}, prices, "0 0 1 map[]"},
		{"under way", []string{worst, `"start":1,"outcome":"running"`}, prices, "0 0 1 map[]"},
		{"in another currency", []string{worst, `"start":1,"spent":50000,"currency":"USD"`}, prices, "0 1 0 map[EUR:0.1]"},
		{"in one that the start lacks", []string{start, `"start":1,"spent":50000,"currency":"USD"`}, guard.Prices{}, "0 1 0 map[USD:0.05]"},
		{"by the prices of the replay", []string{start}, prices, "0 1 0 map[EUR:0.06]"},
		{"without prices", []string{start}, guard.Prices{}, "0 1 0 map[]"},
	} {
		r := replayed(t, guard.Settings{Account: countries, Prices: test.prices}, test.lines...)
		if got := fmt.Sprint(r.All.Verified, r.All.Unverified, r.All.Unbegun, r.All.Saved); r.All.Refused != 1 || got != test.want || fmt.Sprint(r.Spent) != fmt.Sprint(r.All.Saved) {
			t.Errorf("%s: %s, want %s; %+v", test.name, got, test.want, r)
		}
	}
}

// TestForeign has a guard be told a price in its own currency.
func TestForeign(t *testing.T) {
	budget := guard.RuleSet{Budgets: []guard.Budget{{Mode: guard.Enforce, Period: guard.Day, Cap: guard.Money{Micro: 110_000, Currency: "EUR"}}}}
	start := func(n int) string {
		return fmt.Sprintf(`"start":%d,"number":"n%d","prefix":"44770090","country":"GB","worst":100000,"currency":"EUR"`, n, n)
	}
	for currency, want := range map[string]int{"EUR": 0, "JPY": 1} {
		r := replayed(t, guard.Settings{Account: budget, Prices: guard.Prices{Any: guard.Money{Micro: 1, Currency: "EUR"}}}, start(1), `"start":1,"spent":10000,"currency":"`+currency+`"`, `"start":1,"outcome":"success"`, start(2))
		if r.All.Refused != want {
			t.Errorf("after a price in %s it refuses %d, want %d", currency, r.All.Refused, want)
		}
	}
}

// TestHundredsApart has hundreds that come one after the other not be beside each other.
func TestHundredsApart(t *testing.T) {
	var lines []string
	for n := 1; n <= 6; n++ {
		lines = append(lines, fmt.Sprintf(`"start":%d,"number":"n%d","hundred":"h%d","prefix":"44770090"`, n, n, n/6))
	}
	r := replayed(t, enforced(func(r *guard.RuleSet) { r.PerPrefix.Mode = guard.Enforce }), lines...)
	if r.All.Refused != 0 {
		t.Errorf("it refuses %+v", r.All)
	}
}

// TestNothingToTell has a report without rules be readable for programs.
func TestNothingToTell(t *testing.T) {
	text, err := json.Marshal(replayed(t, guard.Settings{}, `"start":1,"number":"n"`))
	if want := `"spent":{},"rules":[],`; err != nil || !strings.Contains(string(text), want) || !strings.Contains(string(text), `"refused":[]`) {
		t.Errorf("%s %v, want %s", text, err, want)
	}
}
