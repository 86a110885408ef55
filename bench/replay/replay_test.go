package main

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestPlan(t *testing.T) {
	const n = 10_000
	lives := plan(1, n, time.Minute)
	if !reflect.DeepEqual(lives, plan(1, n, time.Minute)) {
		t.Error("the same seed drew other lives")
	}
	if reflect.DeepEqual(lives, plan(2, n, time.Minute)) {
		t.Error("another seed drew the same lives")
	}
	share := map[string]float64{}
	numbers := map[string]bool{}
	var before time.Duration
	for i, l := range lives {
		share[l.fate] += 100. / n
		numbers[number(i)] = true
		if l.begin < before || l.begin >= time.Minute {
			t.Fatalf("life %d begins at %v after %v", i, l.begin, before)
		}
		before = l.begin
		for _, s := range l.steps {
			if s.after < 4*time.Second || s.after > pinExpiry-20*time.Second {
				t.Fatalf("life %d: a step after %v", i, s.after)
			}
		}
	}
	for fate, want := range map[string]float64{"SUCCESS": 82, "FAILED": 4, "CANCELLED": 5, "EXPIRED": 9} {
		if got := share[fate]; got < want-1.5 || got > want+1.5 {
			t.Errorf("%s: %.1f %%, want about %v", fate, got, want)
		}
	}
	if len(numbers) != n {
		t.Errorf("%d numbers for %d verifications", len(numbers), n)
	}
}

func TestSearchURLs(t *testing.T) {
	for _, test := range []struct {
		sdk  sdk
		ids  []string
		want string
	}{
		{node, []string{"a"}, "request_id=a"},
		{node, []string{"a", "b"}, "request_ids=a&request_ids=b"},
		{golang, []string{"a"}, "api_key=app&api_secret=none&request_id=a"},
		{dotnet, []string{"a", "b"}, "request_ids=a&request_ids=b&"},
	} {
		r, err := test.sdk.search("http://127.0.0.1", test.ids)
		if err != nil {
			t.Fatal(err)
		}
		if r.URL.RawQuery != test.want {
			t.Errorf("got %s, want %s", r.URL.RawQuery, test.want)
		}
		if _, _, basic := r.BasicAuth(); basic != (test.sdk != golang) {
			t.Errorf("%s: HTTP Basic: %v", test.want, basic)
		}
	}
}

func TestStale(t *testing.T) {
	tried := func(n int, status string) state { return state{Status: status, Checks: make([]struct{}, n)} }
	for _, test := range []struct {
		name  string
		known known
		told  state
		want  bool
	}{
		{"nothing known", known{}, tried(0, inProgress), false},
		{"newer than known", known{}, tried(1, "SUCCESS"), false},
		{"a wrong code known", known{checks: 1}, tried(1, inProgress), false},
		{"a wrong code forgotten", known{checks: 2}, tried(1, inProgress), true},
		{"success known", known{checks: 1, final: "SUCCESS"}, tried(1, "SUCCESS"), false},
		{"success forgotten", known{checks: 1, final: "SUCCESS"}, tried(0, inProgress), true},
		{"cancellation forgotten", known{final: "CANCELLED"}, tried(0, inProgress), true},
	} {
		if got := test.known.stale(test.told); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

func TestCountsByTime(t *testing.T) {
	var times []time.Time
	for _, ms := range []int{0, 100, 200, 1000, 1050, 1099, 5000} {
		times = append(times, time.UnixMilli(int64(ms)))
	}
	if got := busiest(times, time.Second); got != 5 {
		t.Errorf("busiest second: %d, want the 5 from 100 on", got)
	}
	if got := over(times, 2, time.Second); got != 3 {
		t.Errorf("over 2/s: %d, want the ones at 200, 1050 and 1099", got)
	}
}

// TestReplay is the whole comparison in small: a gateway must save searches and
// never tell of a state from before a check.
func TestReplay(t *testing.T) {
	o := options{verifications: 20, apps: 3, ids: maxIDs, over: 20 * time.Second, speed: 20, seed: 1}
	sides, closeAll, err := open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll()
	lives := plan(o.seed, o.verifications, o.over)
	pause, err := replay(t.Context(), o, lives, sides)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	report(&out, o, lives, sides, pause)
	t.Logf("\n%s", &out)
	if len(sides) != 2 || strings.Count(out.String(), "\n| ") != 3 {
		t.Fatalf("%d sides, want nothing cached and caddy-verify", len(sides))
	}
	for _, s := range sides {
		if s.stale > 0 {
			t.Errorf("%s: %d stale answers", s.name, s.stale)
		}
	}
	late, asked := 0, 0
	for _, s := range sides {
		late, asked = late+s.late, asked+s.asked
	}
	if pause > time.Second/2 || late*10 > asked {
		t.Skipf("the machine stood still for %v, twenty times as much in the life of a user, and skipped %d rounds beside %d searches: nothing else can be told", pause, late, asked)
	}
	for _, s := range sides {
		if err := s.failures(); err != nil {
			t.Error(err)
		}
	}
	nothing, gateway := sides[0], sides[1]
	// The end may cut off searches of the dashboard.
	_, searches := nothing.upstream.seen()
	if got := len(searches); got < nothing.asked || got > nothing.asked+maxIDs {
		t.Errorf("nothing cached: %d searches upstream of %d", got, nothing.asked)
	}
	_, searches = gateway.upstream.seen()
	if got := len(searches); got == 0 || got > gateway.asked*2/3 {
		t.Errorf("caddy-verify: %d searches upstream of %d", got, gateway.asked)
	}
}
