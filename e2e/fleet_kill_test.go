//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestFleetKill kills a gateway under load. Only its own calls in flight fail, and none is made again: whoever repeats one with
// its Idempotency-Key elsewhere is told the answer, or that the call may have been sent. An identical request without a key is
// made once the dead one's time is over.
func TestFleetKill(t *testing.T) {
	const inFlight = 8
	f := startFleet(t, "timeout 10s", -1, 20*time.Millisecond) // all that is in flight must be so until the gateway dies
	f.together()
	d := startDoubts(f)
	dead, others := f.members[0], f.members[1:]
	request := func(n int, key string) fleetCall {
		return fleetCall{
			app: fleetApps[0], operation: "request", format: "json", key: key,
			params: url.Values{"brand": {"Acme"}, "number": {fmt.Sprintf("447717%06d", n)}},
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var (
		mu     sync.Mutex
		failed []fleetCall
		sent   []string
	)
	made := make(chan int)
	go func() {
		made <- steady(ctx, 15, func(n int) {
			m := f.members[n%3]
			if m.out.Load() {
				m = others[n%2]
			}
			c := request(n, fmt.Sprintf("key-%d", n))
			a, err := f.at(t.Context(), m, c)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil && m == dead:
				failed = append(failed, c)
			case err != nil:
				f.fault("a call of a gateway that lives: %v", err)
			case a.Status != "0" && !a.limited():
				f.fault("a request is answered %v", a)
			case !a.limited():
				sent = append(sent, c.params.Get("number"))
			}
		})
	}()
	time.Sleep(2 * time.Second)

	// Some calls are at the provider when it dies: with a key and without.
	begun := time.Now()
	var held []*holding
	var inTrouble []fleetCall
	fails := make(chan error, inFlight)
	for n := range inFlight {
		c := request(900_000+n, "")
		if n%2 == 0 {
			c.key = fmt.Sprintf("key-in-flight-%d", n)
		}
		h := f.api.hold(callName("request", c.params))
		held, inTrouble = append(held, h), append(inTrouble, c)
		go func() {
			_, err := f.patient(dead, c)
			fails <- err
		}()
	}
	for n, h := range held {
		select {
		case <-h.came:
		case <-time.After(patience):
			t.Fatalf("call %d does not come to the provider", n)
		}
	}
	d.lookAgain() // nobody can ask the dead one whether the store has heard of these calls
	dead.out.Store(true)
	killed := time.Now()
	if err := dead.process.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for range inFlight {
		if err := <-fails; err == nil {
			t.Error("a call was answered by a gateway that was dead")
		}
	}
	var repeating sync.WaitGroup
	for n, c := range inTrouble {
		if c.key == "" {
			continue
		}
		repeating.Go(func() {
			a, err := f.patient(others[n%2], c)
			if err != nil || !strings.Contains(a.Text, "may have been sent") {
				d.fault(begun, "a call with a key that a dead gateway has made: %v (%v)", a, err)
			}
		})
	}
	repeating.Wait()
	t.Logf("calls with a key are told after %s", time.Since(killed).Round(time.Millisecond))
	stop()
	total := <-made
	mu.Lock()
	again := failed
	mu.Unlock()
	for _, c := range again {
		a, err := f.patient(others[0], c)
		if err != nil || a.Status != "0" && !strings.Contains(a.Text, "may have been sent") {
			f.fault("a call that a dead gateway may have made: %v (%v)", a, err)
		}
	}

	// Timeout and five seconds after it began, whoever asks has his request made.
	time.Sleep(time.Until(killed.Add(16 * time.Second)))
	for n, c := range inTrouble {
		if c.key != "" {
			continue
		}
		a, err := f.patient(others[n%2], c)
		if err != nil || a.Status != "0" {
			f.fault("a request whose gateway is dead, after its time: %v (%v)", a, err)
		}
	}
	came := f.api.counts()
	for _, c := range append(inTrouble, again...) {
		name := callName("request", c.params)
		if most := map[bool]int{true: 2, false: 1}[c.key == ""]; came[name] > most {
			d.fault(begun, "a call (key %q) came to the provider %d times", c.key, came[name])
		}
	}
	for _, number := range sent {
		if n := came["request "+number]; n != 1 {
			f.fault("a request came to the provider %d times", n)
		}
	}
	d.settle()
	if len(sent) < 30 {
		t.Errorf("only %d of %d requests were let through", len(sent), total)
	}
	t.Logf("%d calls, %d answered, %d failed with their gateway, %d refused", total, len(sent), len(again)+inFlight, total-len(sent)-len(again))
}

// patient makes a call until the rate lets it through.
func (f *fleet) patient(m *member, c fleetCall) (a *fleetAnswer, err error) {
	for range 30 {
		if a, err = f.at(f.t.Context(), m, c); err != nil || !a.limited() {
			return a, err
		}
		time.Sleep(300 * time.Millisecond)
	}
	return a, errors.New("the rate does not let it through")
}
