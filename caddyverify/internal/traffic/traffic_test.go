package traffic

import (
	"context"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// direct makes calls without a network, which has no place in a bubble.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	r.SetBasicAuth("key", "secret") // as the gateway does
	d.ServeHTTP(w, r)
	return w.Result(), nil
}

// some makes twenty minutes of traffic to a sandbox, and returns how its verifications are.
func some(t *testing.T, c Config, code string) (counts Counts, states map[string]int) {
	t.Helper()
	states = map[string]int{}
	synctest.Test(t, func(t *testing.T) {
		api, err := sandbox.New(sandbox.Config{Code: code})
		if err != nil {
			t.Fatal(err)
		}
		c.Gateway, c.Transport, c.Rate = "http://gateway/", direct{api}, .5
		c.Progress = func(now Counts) { counts = now }
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
		defer cancel()
		if err := Run(ctx, c); err != nil {
			t.Fatal(err)
		}
		for _, v := range api.Verifications() {
			states[v.Status]++
		}
	})
	return counts, states
}

func TestRun(t *testing.T) {
	for _, test := range []struct {
		name, code string
		config     Config
	}{
		{"all know the code", "1234", Config{Code: "1234"}},
		{"the sandbox tells it", "", Config{Sandbox: "http://sandbox"}},
		{"ten minutes' day", "1234", Config{Code: "1234", Day: 10 * time.Minute}},
	} {
		t.Run(test.name, func(t *testing.T) {
			counts, states := some(t, test.config, test.code)
			if counts.Started < 520 || counts.Started > 680 {
				t.Errorf("%d verifications were started in twenty minutes, at about one in two seconds", counts.Started)
			}
			if rate := float64(counts.Succeeded) / float64(counts.Started); rate < .75 || rate > .88 {
				t.Errorf("%.0f %% succeeded", 100*rate)
			}
			if counts.Refused > counts.Started/100 || counts.Failed > 0 {
				t.Errorf("something is amiss: %+v", counts)
			}
			for _, state := range []string{"SUCCESS", "FAILED", "EXPIRED", "CANCELLED", "IN PROGRESS"} {
				if states[state] == 0 {
					t.Errorf("none is %s: %v", state, states)
				}
			}
		})
	}
}

func TestSeed(t *testing.T) {
	first, states := some(t, Config{Code: "1234", Seed: 7}, "1234")
	again, statesAgain := some(t, Config{Code: "1234", Seed: 7}, "1234")
	other, _ := some(t, Config{Code: "1234", Seed: 8}, "1234")
	if first != again || !reflect.DeepEqual(states, statesAgain) {
		t.Errorf("one seed has made\n\t%+v %v and\n\t%+v %v", first, states, again, statesAgain)
	}
	if first == other {
		t.Error("two seeds have made the same")
	}
}

// TestDay counts the starts of a day's quarters.
func TestDay(t *testing.T) {
	r, err := newRunner(Config{Gateway: "http://gateway", Code: "1234", Day: 4 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	rush, quiet := r.pause(1, time.Hour), r.pause(1, 3*time.Hour)
	if rush.Round(time.Millisecond) != 625*time.Millisecond || quiet.Round(time.Millisecond) != 2500*time.Millisecond {
		t.Errorf("at the rush one starts each %v, in the quiet each %v", rush, quiet)
	}
}

// TestNumbers keeps to numbers that belong to nobody and force no status, and leaves the one of the demo's curl lines alone,
// which would be answered status 10 while a user is under way with it.
func TestNumbers(t *testing.T) {
	countries := map[string]int{}
	for i := range uint64(100000) {
		number := planOf(1, i).number
		if strings.HasPrefix(number, "4477009001") || number == "447700900000" || len(number) < 11 || len(number) > 12 {
			t.Fatalf("a number is %s", number)
		}
		countries[number[:2]]++
	}
	if countries["44"] < 40000 || countries["49"] < 9000 {
		t.Errorf("the countries are %v", countries)
	}
}

func TestAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var counts Counts
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		away := direct{http.NotFoundHandler()}
		if err := Run(ctx, Config{Gateway: "http://gateway", Code: "1", Transport: away, Progress: func(c Counts) { counts = c }}); err != nil {
			t.Fatal(err)
		}
		if counts.Failed < 20 || counts.Started != 0 {
			t.Errorf("nobody is there, and it counts %+v", counts)
		}
	})
}

func TestSettings(t *testing.T) {
	for name, c := range map[string]Config{
		"gateway":     {Code: "1234"},
		"sandbox":     {Gateway: "http://gateway", Sandbox: "sandbox:8081"},
		"right code":  {Gateway: "http://gateway"},
		"rate":        {Gateway: "http://gateway", Code: "1234", Rate: 101},
		"day and spe": {Gateway: "http://gateway", Code: "1234", Speed: -1},
	} {
		if err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
