//go:build e2e

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// sampledCauses are those of which the log has a line at info for the first call alone.
var sampledCauses = map[string]bool{
	"breaker_open": true, "limit_reached": true, "caller_limit_reached": true, "too_many_under_way": true,
	"account_throttled": true, "account_bad_credentials": true, "account_barred": true, "account_no_credit": true,
}

// checkLog wants one line for each call of a client, at warn or info if an operator should know of it and at debug otherwise.
func checkLog(t *testing.T, p *script) {
	t.Helper()
	f := few{t: t}
	type line struct {
		Level, Logger, Msg, TraceID              string
		Operation, Status, Source, Cause, Format string
	}
	lines := map[string][]line{}
	for text := range strings.Lines(p.gateway.log(t)) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err == nil && l.Msg == "call" && l.Logger == "http.handlers.verify" {
			lines[l.TraceID] = append(lines[l.TraceID], l)
		}
	}
	for _, x := range p.books.exchanges {
		want := line{
			Level: "debug", Logger: "http.handlers.verify", Msg: "call", TraceID: x.trace,
			Operation: x.operation, Status: x.status(), Source: x.source, Cause: x.cause,
		}
		if isTrouble(x.answer.Status) {
			want.Level = "warn"
		}
		if want.Level == "warn" && (x.status() == "1" || slices.Contains([]string{"breaker_open", "account_bad_credentials", "account_barred", "account_no_credit"}, x.cause)) {
			want.Level = "info" // it follows from something, or passes by itself
		}
		got := lines[x.trace]
		if len(got) != 1 {
			f.errorf("%d log lines for a %s with status %s, want one", len(got), x.operation, x.status())
			continue
		}
		if sampledCauses[x.cause] && got[0].Level == "debug" {
			want.Level = "debug" // one of many, which a line calls refused counts
		}
		if got[0].Format = ""; got[0] != want {
			f.errorf("the log says %+v, want %+v", got[0], want)
		}
	}
	if got, want := len(lines), len(p.books.exchanges)+len(p.strays); got != want {
		t.Errorf("log lines of %d calls, want %d", got, want)
	}
}

var (
	digitsPattern = regexp.MustCompile(`[0-9]{9,}`)
	wholePattern  = regexp.MustCompile(`[:,\[ ]-?[0-9]+\.$`) // of a decimal number
)

// checkNothingLeaks looks for numbers, codes and secrets in all that leaves the gateway for its operators.
func checkNothingLeaks(t *testing.T, p *script, otel *collector, scrape string) {
	t.Helper()
	texts := map[string]string{
		"the scrape":          scrape,
		"the gateway's log":   p.gateway.log(t),
		"the Collector's log": otel.output.String(),
	}
	for _, name := range []string{"traces.jsonl", "metrics.jsonl"} {
		text, err := os.ReadFile(filepath.Join(otel.folder, name))
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
	}
	numbers := map[string]bool{}
	for _, s := range p.all {
		for code := range 3 { // with its calling code, of one digit or two, and without
			numbers[s.number[code:]] = true
		}
	}
	for where, text := range texts {
		f := few{t: t}
		for _, secret := range []string{
			rightCode, wrongCode, pinCode, userIP, appSecret, realSecret,
			basic(p.gateway.key, realSecret), base64.StdEncoding.EncodeToString([]byte(realSecret)), url.QueryEscape(rightCode),
		} {
			if at := strings.Index(text, secret); at >= 0 {
				t.Errorf("%s has %q: …%s…", where, secret, text[max(0, at-200):min(len(text), at+100)])
			}
		}
		for _, run := range digitsPattern.FindAllStringIndex(text, -1) {
			digits := text[run[0]:run[1]]
			if len(digits) > 17 || wholePattern.MatchString(text[max(0, run[0]-24):run[0]]) {
				continue // a time in nanoseconds, or what follows the point of a measured one
			}
			for from := range len(digits) - 8 {
				if numbers[digits[from:]] {
					f.errorf("%s has a number in %s: …%s…", where, digits, text[max(0, run[0]-200):min(len(text), run[1]+100)])
				}
			}
		}
		t.Logf("looked through %s, %d bytes", where, len(text))
	}
}
