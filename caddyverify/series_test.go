package caddyverify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// oddProvider is the sandbox, of whose answers some are changed, and some are lost.
type oddProvider struct {
	*rand.Rand
	sandbox *direct

	mu  sync.Mutex
	ids []string // of verifications
}

// lockedSource is drawn from by the test and by calls that nobody waits for.
type lockedSource struct {
	mu     sync.Mutex
	source rand.Source
}

func (s *lockedSource) Uint64() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.source.Uint64()
}

func (p *oddProvider) one(of ...string) string { return of[p.IntN(len(of))] }

var (
	saidStatus   = regexp.MustCompile(`("status":"|<status>)[^"<]*`)
	saidCurrency = regexp.MustCompile(`("currency":"|<currency>)[^"<]*`)
	saidID       = regexp.MustCompile(`request_id(":"|>)([0-9a-f]{32})`)
)

func (p *oddProvider) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(time.Duration(p.ExpFloat64() * float64(100*time.Millisecond)))
	if p.IntN(50) == 0 {
		return nil, errors.New("the line is cut")
	}
	answer, err := p.sandbox.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if id := saidID.FindSubmatch(body); id != nil {
		p.mu.Lock()
		p.ids = append(p.ids, string(id[2]))
		p.mu.Unlock()
	}
	if p.IntN(10) == 0 {
		body = saidStatus.ReplaceAll(body, []byte("${1}"+p.one("0", "3", "6", "7", "10", "15", "16", "17", "19", "29", "101", "SUCCESS", "CANCELLED", strconv.Itoa(p.IntN(1000)), "PENDING "+strconv.Itoa(p.Int()))))
	}
	if p.IntN(10) == 0 {
		body = saidCurrency.ReplaceAll(body, []byte("${1}"+p.one("USD", "GBP", "CHF", "SEK", "NOK", "???", "ABC")))
	}
	if p.IntN(100) == 0 {
		answer.StatusCode = 100 * (2 + p.IntN(4))
	}
	if p.IntN(100) == 0 {
		body = []byte(p.one("", "<html>", "null", "[]"))
	}
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return answer, nil
}

func (p *oddProvider) id() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.ids); n > 0 && p.IntN(10) > 0 {
		return p.ids[max(0, n-1-p.IntN(50))]
	}
	return fmt.Sprintf("%032x", p.IntN(3000))
}

// TestSeries: whatever clients and the provider do, one account has at most 600 series at
// default settings. docs/telemetry.md says so, and observe.TestBound tries what does not
// happen here.
func TestSeries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, &Handler{}, sandboxConfig)
		defer d.close(t)
		p := &oddProvider{Rand: rand.New(&lockedSource{source: rand.NewPCG(3, 4)}), sandbox: d} //nolint:gosec // the same each time
		d.network.RoundTripper = p
		d.gateway.Logger = slog.New(slog.DiscardHandler)
		begun := accountSeries(t, "@sandbox.invalid")
		for i := range 20_000 {
			oddCall(d, p)
			if i%100 == 0 {
				time.Sleep(time.Minute) // so that circuits close and the account is tried again
			}
		}
		time.Sleep(2 * time.Hour)
		most := accountSeries(t, "@sandbox.invalid")
		t.Logf("%d series from the start, %d in the end", begun, most)
		if begun > 600 || most > 600 || most < begun {
			t.Errorf("%d series from the start and %d in the end, want at most 600", begun, most)
		}
	})
}

// oddCall makes one, which may be any and may be given up.
func oddCall(d *direct, p *oddProvider) {
	form := url.Values{
		"number":     {p.one("44770090", "4915123", "3579912", "1201555", "33612", "346123", "61412", "999", "8816", "") + fmt.Sprintf("%05d", p.IntN(100_000))},
		"country":    {p.one("", "", "GB", "XX", "aq")},
		"brand":      {"Acme"},
		"payee":      {"Acme"},
		"amount":     {"1"},
		"request_id": {p.id()},
		"code":       {p.one(testCode, testCode, "0000")},
		"cmd":        {p.one("cancel", "trigger_next_event", "stop")},
	}
	if p.IntN(2) == 0 {
		form.Set("workflow_id", p.one("1", "2", "3", "4", "5", "6", "7", "8", "-1", strconv.Itoa(p.Int())))
	}
	o := wire.Operations[p.IntN(len(wire.Operations))]
	if p.IntN(100) > 0 {
		keep := map[wire.Operation]string{
			wire.Request: "number country brand workflow_id", wire.PSD2: "number country payee amount workflow_id",
			wire.Check: "request_id code", wire.Search: "request_id", wire.Control: "request_id cmd",
		}[o]
		for name := range form {
			if !strings.Contains(keep, name) {
				form.Del(name)
			}
		}
	}
	format := wire.Formats[p.IntN(len(wire.Formats))]
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(p.IntN(5000))*time.Millisecond)
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, p.one("POST", "POST", "POST", "POST", "POST", "POST", "GET", "PUT"), wire.Path(o, format), strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", p.one("application/x-www-form-urlencoded", "application/x-www-form-urlencoded", "application/x-www-form-urlencoded", "application/x-www-form-urlencoded", "application/x-www-form-urlencoded", "text/odd"))
	_ = d.ServeHTTP(httptest.NewRecorder(), r, nil)
}

// accountSeries is how many series Prometheus makes of one account's metrics.
func accountSeries(t *testing.T, suffix string) (n int) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registerMetrics(registry); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			mine := family.GetName() == "verify_build_info"
			for _, l := range m.GetLabel() {
				mine = mine || l.GetName() == "account" && strings.HasSuffix(l.GetValue(), suffix)
			}
			if !mine {
				continue
			}
			n++
			if h := m.GetHistogram(); h != nil {
				n += len(h.GetBucket()) + 2 // le="+Inf", _sum and _count
			}
		}
	}
	return n
}
