//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// pictureSpeed is how many seconds of the pictures pass in one of the test: an hour is three minutes.
const (
	pictureSpeed = 20
	pictureKey   = "abcdef01"
)

// TestPictures draws the dashboards into the folder that E2E_PICTURES names, see docs/dashboards.md. It is the only test
// that does nothing unless asked.
func TestPictures(t *testing.T) {
	if os.Getenv("E2E_PICTURES") == "" {
		t.Skip("E2E_PICTURES names no folder")
	}
	output, err := filepath.Abs(os.Getenv("E2E_PICTURES"))
	if err != nil {
		t.Fatal(err)
	}
	api, err := sandbox.New(sandbox.Config{APIKey: pictureKey, APISecret: loadPass, Code: loadCode, Speed: 10, Limit: -1, Record: -1})
	if err != nil {
		t.Fatal(err)
	}
	provider := httptest.NewServer(api)
	t.Cleanup(provider.Close)
	address := startLoaded(t, provider.URL, pictureKey, fmt.Sprintf(`
			limit %d/s
			timeout 2500ms
			breaker {
				window 7500ms
				open_for 1s
			}
			countries GB DE FR ES IT NL US IN`, 28*pictureSpeed))
	p := startPrometheusWithRules(t, map[string]string{"verify": address}, 500*time.Millisecond, pictureSpeed)
	p.scraped(t)

	l := newLoad(t, address)
	l.trouble.Store(true)
	l.pause = 1500 * time.Millisecond
	stop := make(chan struct{})
	go crowd(l, stop)
	well := []string{"* delay 70ms", "* delay 50ms 50%", "* delay 180ms 12%", "* delay 400ms 4%"}
	play := func(minutes float64, mute string, lines ...string) {
		var faults []sandbox.Fault
		for _, line := range append(slices.Clone(well), lines...) {
			fault, err := sandbox.ParseFault(line)
			if err != nil {
				t.Fatal(err)
			}
			faults = append(faults, fault)
		}
		if err := api.SetFaults(faults...); err != nil {
			t.Fatal(err)
		}
		l.mute.Store(mute)
		time.Sleep(time.Duration(minutes * float64(time.Minute) / pictureSpeed))
	}
	play(22, "") // until all ends of verifications are seen
	begun := time.Now()
	play(64, "") // an hour as any other
	usual := time.Now()
	play(8, "")
	play(26, "GB") // messages to GB do not arrive
	play(2, "")
	play(4, "", "* delay 700ms 40%") // the provider is slow
	play(4, "")
	play(1.7, "", "* close") // the provider is away
	play(8.3, "")
	play(8, "", "* status 1 0.15%") // the provider throttles
	play(2, "")
	now := time.Now()
	close(stop)
	t.Logf("alerts: %q", p.raised(t, "verify"))

	q := stretched(t, p, strings.TrimPrefix(provider.URL, "http://"), begun, usual, now)
	filled := t.TempDir()
	files, err := filepath.Glob("../dashboards/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.NewReplacer("$__range", "1h", "$window", "15m", "$__rate_interval", "2m").Replace(string(content))
		if err := os.WriteFile(filepath.Join(filled, filepath.Base(file)), []byte(chosen(text, "15m")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	end := now.Unix()
	draw := exec.Command("node", "pictures.mjs", filled, q.url, fmt.Sprint(end-3600), fmt.Sprint(end), output)
	draw.Dir = "grafana"
	if out, err := draw.CombinedOutput(); err != nil {
		t.Errorf("pictures: %v; npm ci --prefix e2e/grafana, and on Debian: apt-get install chromium-headless-shell\n%s", err, out)
	}
}

// crowd is users of eight countries who start twenty verifications a second, that is one in a second of the pictures.
func crowd(l *load, stop chan struct{}) {
	countries := []struct {
		name, prefix    string
		weight, succeed int // of 100
	}{
		{"GB", "447712", 28, 86},
		{"DE", "4915123", 24, 88},
		{"FR", "336121", 16, 84},
		{"ES", "346121", 10, 82},
		{"IT", "393331", 8, 79},
		{"NL", "316121", 6, 90},
		{"US", "121255", 5, 76},
		{"IN", "919812", 3, 61},
	}
	tick := time.NewTicker(time.Second / pictureSpeed)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		chance := rand.New(rand.NewPCG(uint64(n), 0)) // the same each time
		draw := chance.IntN(100)
		country := countries[0]
		for _, c := range countries {
			if country = c; draw < c.weight {
				break
			}
			draw -= c.weight
		}
		go user(l, chance, country.name, fmt.Sprintf("%s%06d", country.prefix, 100000+n), country.succeed)
	}
}

// user plays one verification. Applications look at the state of those whose users are slow.
func user(l *load, chance *rand.Rand, country, number string, succeed int) {
	params := url.Values{"number": {number}, "brand": {"Acme"}}
	forgotten := false // by the application, so that the gateway asks how it ended
	switch n := chance.IntN(70); {
	case n == 0:
		params.Set("number", "447700900103") // no number
	case n < 8:
		params.Set("workflow_id", "4")
	case n < 16:
		params.Set("workflow_id", "6")
		params.Set("pin_expiry", "60")
		forgotten = true
	}
	begun, err := l.call("/verify/json", params)
	if err != nil || begun.Status != "0" {
		return
	}
	about := func(path string, more ...string) {
		form := url.Values{"request_id": {begun.RequestID}}
		if len(more) > 0 {
			form.Set(more[0], more[1])
		}
		_, _ = l.call(path, form)
	}
	wait := func(least, most float64) { // seconds, mostly nearer to the least
		part := chance.Float64()
		time.Sleep(time.Duration((least + part*part*(most-least)) * float64(time.Second)))
	}
	muted := l.mute.Load() == country && chance.IntN(12) > 0
	switch draw := chance.IntN(100); {
	case muted || draw >= succeed+8: // nobody enters a code
		for range 3 {
			wait(1.5, 4)
			about("/verify/search/json")
			about("/verify/search/json")
		}
		if !forgotten {
			time.Sleep(61 * time.Second) // it expires
			about("/verify/search/json")
		}
	case draw >= succeed+4:
		for range 3 {
			wait(2, 7)
			about("/verify/check/json", "code", "0000")
		}
	case draw >= succeed:
		time.Sleep(3500 * time.Millisecond) // half a minute of the sandbox's
		about("/verify/control/json", "cmd", "cancel")
	default:
		if forgotten {
			wait(1.5, 5)
		} else {
			wait(3.5, 22)
		}
		if chance.IntN(9) == 0 {
			about("/verify/check/json", "code", "0000")
		}
		about("/verify/check/json", "code", loadCode)
		if chance.IntN(3) == 0 {
			about("/verify/search/json")
			about("/verify/search/json")
		}
	}
}

// counters have no other sense than their growth.
var counters = regexp.MustCompile(`^verify_.*_(total|count|sum|bucket)$`)

// stretched is a Prometheus that knows the same in pictureSpeed times the time, up to now; and a week before it in which
// every hour is the one that ended at usual.
func stretched(t *testing.T, p *prometheus, provider string, begun, usual, now time.Time) *prometheus {
	t.Helper()
	var data struct {
		Result []course
	}
	span := fmt.Sprintf("%dms", now.Sub(begun).Milliseconds())
	err := p.get("/api/v1/query", url.Values{"time": {seconds(now)}, "query": {`{__name__=~"verify_.+|job.+:.+|ALERTS.*"}[` + span + `]`}}, &data)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	file, err := os.Create(filepath.Join(folder, "metrics"))
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(file)
	hour := usual.Sub(begun)
	const week = 7 * 24
	for _, c := range data.Result {
		var labels []string
		for name, value := range c.Metric {
			if name == "instance" {
				value = "gateway-1"
			}
			value = strings.ReplaceAll(value, provider, "provider")
			if name != "__name__" {
				labels = append(labels, fmt.Sprintf("%s=%q", name, value))
			}
		}
		slices.Sort(labels)
		name := c.Metric["__name__"] + "{" + strings.Join(labels, ",") + "}"
		at := func(v [2]any) (float64, float64) {
			text, _ := v[1].(string)
			when, _ := v[0].(float64)
			return when - float64(now.UnixMilli())/1000, number(text)
		}
		repeated, growth := 0, 0.0 // the values of the usual hour, and by how much they grow in it
		for _, v := range c.Values {
			if when, value := at(v); when < -now.Sub(usual).Seconds() {
				repeated++
				growth = value
			}
		}
		if repeated > 0 {
			_, first := at(c.Values[0])
			growth -= first
		}
		counts := counters.MatchString(c.Metric["__name__"])
		if !counts {
			growth = 0
		}
		if counts && repeated > 0 {
			for back := week; back > 0; back-- {
				thin := 12
				if back > 26 {
					thin = repeated/4 + 1
				}
				for i := 0; i < repeated; i += thin {
					when, value := at(c.Values[i])
					fmt.Fprintf(w, "%s %g %s\n", name, value+float64(week-back)*growth, seconds(now.Add(time.Duration((when-float64(back)*hour.Seconds())*pictureSpeed*float64(time.Second)))))
				}
			}
		}
		for _, v := range c.Values {
			when, value := at(v)
			switch {
			case counts:
				value += week * growth
			case c.Metric["__name__"] == "verify_limit_rate":
				value /= pictureSpeed // calls a second
			case c.Metric["__name__"] == "ALERTS_FOR_STATE":
				value = float64(now.Unix()) + (value-float64(now.UnixMilli())/1000)*pictureSpeed
			}
			if !math.IsNaN(value) {
				fmt.Fprintf(w, "%s %g %s\n", name, value, seconds(now.Add(time.Duration(when*pictureSpeed*float64(time.Second)))))
			}
		}
	}
	fmt.Fprintln(w, "# EOF")
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	file.Close()
	promtool(t, "tsdb", "create-blocks-from", "openmetrics", "--quiet", "--max-block-duration=240h", filepath.Join(folder, "metrics"), filepath.Join(folder, "data"))
	if err := os.WriteFile(filepath.Join(folder, "prometheus.yml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	q := &prometheus{url: "http://" + address}
	q.part = startPart(t, exec.Command(path,
		"--config.file="+filepath.Join(folder, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(folder, "data"),
		"--storage.tsdb.retention.time=1y",
		"--query.lookback-delta=1m",
		"--web.listen-address="+address,
		"--log.level=warn",
	))
	q.ready(t, q.url+"/-/ready")
	return q
}

func seconds(at time.Time) string { return fmt.Sprintf("%.3f", float64(at.UnixMilli())/1000) }
