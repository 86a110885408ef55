package relay

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

const (
	testSecret = "0123456789abcdef0123456789abcdef"
	testURL    = "https://checkout.internal/webhooks?at=here"
	testBody   = `{"request_id":"cc121958-d8fb-4368-aa3b-b762bb9a0f74","type":"summary"}`
)

// world is a Sender, the applications that it calls, and what it tells.
type world struct {
	t *testing.T
	*Sender
	mu     sync.Mutex
	took   time.Duration     // an answer
	codes  map[string]int    // by host; 0 for none
	tries  map[string][]sent // by host
	told   []string
	begun  time.Time
	atOnce map[string]int     // by host, now and the most
	moved  map[string]*Target // where others go by now, by name; nil for nowhere
}

func (w *world) now(name string, was *Target) *Target {
	w.mu.Lock()
	defer w.mu.Unlock()
	if to, moved := w.moved[name]; moved {
		return to
	}
	return was
}

type sent struct {
	after       time.Duration
	body, token string
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, codes: map[string]int{}, tries: map[string][]sent{}, begun: time.Now(), atOnce: map[string]int{}, moved: map[string]*Target{}}
	w.Sender = New(w, func(d Delivery, r Result, why error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.told = append(w.told, fmt.Sprintf("%s %s %v", d.Name, r, why))
	})
	return w
}

func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	w.mu.Lock()
	host := r.URL.Host
	w.tries[host] = append(w.tries[host], sent{time.Since(w.begun), string(body), strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")})
	code, took := w.codes[host], w.took
	w.atOnce[host]++
	w.atOnce["most "+host] = max(w.atOnce["most "+host], w.atOnce[host])
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.atOnce[host]--
		w.mu.Unlock()
	}()
	select {
	case <-time.After(took):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if code == 0 {
		return nil, errors.New("no route to " + r.URL.String())
	}
	header := http.Header{"Location": {"https://elsewhere.example/"}}
	return &http.Response{StatusCode: code, Header: header, Body: io.NopCloser(strings.NewReader(strings.Repeat("x", 1<<20)))}, nil
}

func (w *world) target(name string) *Target {
	w.t.Helper()
	target, err := NewTarget(strings.Replace(testURL, "checkout", name, 1), testSecret)
	if err != nil {
		w.t.Fatal(err)
	}
	return target
}

func (w *world) send(name string) *Target {
	w.t.Helper()
	target := w.target(name)
	w.Send(Delivery{Target: target, Name: name, Now: func(was *Target) *Target { return w.now(name, was) }, ID: "cc121958d8fb4368aa3bb762bb9a0f74", Body: []byte(testBody)})
	return target
}

// look reads what goroutines of the Sender write.
func (w *world) look(do func()) {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	do()
}

func (w *world) expect(want ...string) {
	w.t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.told, want) {
		w.t.Errorf("it tells %q, want %q", w.told, want)
	}
	w.told = nil
}

func TestDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.Close()
		w.codes["checkout.internal"] = 204
		w.send("checkout")
		w.expect("checkout delivered <nil>")
		got := w.tries["checkout.internal"][0]
		if got.body != testBody {
			t.Errorf("it sends %s", got.body)
		}
		// As a receiver checks it.
		parts := strings.Split(got.token, ".")
		if !signedBy(got.token, testSecret) {
			t.Error("the signature is wrong")
		}
		var claims struct {
			Iss, Jti string
			Iat      int64
			Hash     string `json:"payload_hash"`
		}
		text, _ := base64.RawURLEncoding.DecodeString(parts[1])
		if err := json.Unmarshal(text, &claims); err != nil || claims.Iss != "caddy-verify" || claims.Jti == "" || claims.Iat != w.begun.Unix() ||
			claims.Hash != fmt.Sprintf("%x", sha256.Sum256([]byte(testBody))) {
			t.Errorf("it claims %s", text)
		}
	})
}

func signedBy(token, secret string) bool {
	at := strings.LastIndex(token, ".")
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(token[:at]))
	return token[at+1:] == base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// TestAnotherSecret: a webhook that waits is signed by the secret of its next try; what is no secret changes nothing.
func TestAnotherSecret(t *testing.T) {
	const another = "another-secret-of-0123456789abcdef"
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.Close()
		w.codes["checkout.internal"] = 503
		target := w.send("checkout")
		synctest.Wait()
		if err := target.Use(another[:MinSecret-1]); err == nil || strings.Contains(err.Error(), another[:8]) {
			t.Errorf("a short secret: %v", err)
		}
		time.Sleep(5 * time.Second)
		if err := target.Use(another); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		w.look(func() {
			tries := w.tries["checkout.internal"]
			if len(tries) != 3 || !signedBy(tries[0].token, testSecret) || !signedBy(tries[1].token, testSecret) || !signedBy(tries[2].token, another) {
				t.Errorf("it tries %v", tries)
			}
		})
	})
}

// TestMoved: a webhook that waits goes where its application takes webhooks by then, whatever it waits for.
func TestMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.Close()
		w.codes["new.internal"] = 204
		w.took = 9 * time.Second
		const all = 3 * atOnce
		for range all {
			w.send("checkout")
		}
		time.Sleep(time.Second)
		w.look(func() { w.moved["checkout"] = w.target("new") })
		time.Sleep(9 * time.Second) // those under way fail, and the others go to the new one at once
		w.look(func() {
			if before, after := len(w.tries["checkout.internal"]), len(w.tries["new.internal"]); before != atOnce || after != atOnce {
				t.Errorf("%d go to the old one and %d to the new one, want %d", before, after, atOnce)
			}
			if n := w.targets[w.target("new").url].waiting; n != all-atOnce {
				t.Errorf("%d wait for the new one", n)
			}
		})
		time.Sleep(time.Minute)
		w.look(func() {
			if n := len(w.tries["new.internal"]); n != all || len(w.tries["checkout.internal"]) != atOnce {
				t.Errorf("%d go to the new one, want %d", n, all)
			}
			if w.waiting != 0 || len(w.targets) != 0 {
				t.Errorf("%d of %d targets are waiting for ever", w.waiting, len(w.targets))
			}
			w.told = nil
		})
		w.send("gone")
		time.Sleep(10 * time.Second)
		w.look(func() { w.moved["gone"] = nil })
		time.Sleep(time.Minute)
		w.expect("gone retried "+errNoAnswer.Error(), "gone dropped "+errNowhere.Error())
	})
}

// TestMovedTogether: what comes from several targets gets no more calls at a time than any.
func TestMovedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.Close()
		w.codes["new.internal"], w.took = 204, 9*time.Second
		names := []string{"checkout", "support", "new"}
		for range 3 * atOnce {
			for _, name := range names {
				w.send(name)
			}
		}
		time.Sleep(time.Second)
		w.look(func() {
			for _, name := range names {
				w.moved[name] = w.target("new")
			}
		})
		time.Sleep(window)
		w.look(func() {
			if most := w.atOnce["most new.internal"]; most != atOnce {
				t.Errorf("there were %d calls at a time", most)
			}
		})
	})
}

// TestMovedWhenFull: what is moved needs no room that it has not had already.
func TestMovedWhenFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.Close()
		w.codes["new.internal"], w.took = 204, time.Second
		for range maxWaiting / 2 {
			w.send("checkout")
		}
		for range maxWaiting / 4 {
			w.send("support")
		}
		time.Sleep(5 * time.Second)
		w.look(func() {
			w.told = nil
			w.moved["checkout"] = w.target("new")
		})
		time.Sleep(window)
		w.look(func() {
			for _, told := range w.told {
				if strings.Contains(told, "dropped") {
					t.Fatal(told)
				}
			}
			if n := len(w.tries["new.internal"]); n < maxWaiting/2-6*atOnce {
				t.Errorf("%d go to the new one", n)
			}
		})
		time.Sleep(window)
		w.look(func() {
			if w.waiting != 0 || len(w.targets) != 0 {
				t.Errorf("%d of %d targets are waiting for ever", w.waiting, len(w.targets))
			}
		})
	})
}

// TestRetries has an application take nothing, and then something.
func TestRetries(t *testing.T) {
	for name, test := range map[string]struct {
		code, took int // HTTP, seconds
		why        string
	}{
		"down":          {0, 0, errNoAnswer.Error()},
		"in trouble":    {503, 0, "it answered 503"},
		"not there yet": {404, 0, "it answered 404"},
		"a redirect":    {307, 0, "it answered 307"},
		"silent":        {204, 60, errTimeout.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				defer w.Close()
				w.codes["checkout.internal"], w.took = test.code, time.Duration(test.took)*time.Second
				w.send("checkout")
				time.Sleep(10 * time.Minute)
				retried := "checkout retried " + test.why
				w.expect(retried, retried, retried, retried, retried, "checkout gave_up "+test.why)
				tries := w.tries["checkout.internal"]
				if len(tries) != 6 || len(w.tries) != 1 {
					t.Fatalf("it tries %v", w.tries)
				}
				id := func(s sent) (id, rest string) {
					text, _ := base64.RawURLEncoding.DecodeString(strings.Split(s.token, ".")[1])
					_, after, _ := strings.Cut(string(text), `"jti":"`)
					id, _, _ = strings.Cut(after, `"`)
					return id, string(text)
				}
				first, claimed := id(tries[0])
				last, claims := id(tries[5])
				if first != last || claimed == claims {
					t.Errorf("the last try claims %s, the first %s: they must differ in iat alone", claims, claimed)
				}
				for i, pause := range pauses {
					between := tries[i+1].after - tries[i].after - min(w.took, timeout)
					if between < pause*9/10 || between > pause*11/10 {
						t.Errorf("it waits for %v before try %d", between, i+2)
					}
				}
				w.look(func() { w.codes["checkout.internal"], w.took = 503, 0 })
				w.send("checkout")
				time.Sleep(time.Second)
				w.look(func() { w.codes["checkout.internal"] = 200 })
				time.Sleep(time.Minute)
				w.expect("checkout retried it answered 503", "checkout delivered <nil>")
			})
		})
	}
}

// TestBounds has one application be down: others get theirs, and it gets no more than some calls at a time.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.Close()
		w.codes["support.internal"], w.took = 204, 5*time.Second
		for range maxWaiting/2 + 3 {
			w.send("checkout")
		}
		dropped := "checkout dropped " + errTooMany.Error()
		w.expect(dropped, dropped, dropped)
		w.send("support")
		time.Sleep(5 * time.Second)
		w.look(func() {
			if !slices.Contains(w.told, "support delivered <nil>") {
				t.Error("another's is not delivered meanwhile")
			}
			if most := w.atOnce["most checkout.internal"]; most != atOnce {
				t.Errorf("there were %d calls at a time", most)
			}
		})
		for i := range 5 { // and all of them are down
			for range maxWaiting {
				w.send(fmt.Sprint("app", i))
			}
		}
		w.look(func() { w.told = nil })
		w.codes["login.internal"] = 204
		w.send("login")
		time.Sleep(5 * time.Second)
		w.look(func() {
			if !slices.Contains(w.told, "login delivered <nil>") {
				t.Error("when many are down, another's is not delivered")
			}
		})
		w.look(func() {
			w.Sender.mu.Lock()
			defer w.Sender.mu.Unlock()
			if w.waiting > maxWaiting || len(w.targets) != 6 {
				t.Errorf("%d of %d targets are waiting", w.waiting, len(w.targets))
			}
		})
		time.Sleep(window + timeout) // however many wait for an application that is silent
		w.look(func() {
			w.Sender.mu.Lock()
			defer w.Sender.mu.Unlock()
			if w.waiting != 0 || len(w.targets) != 0 {
				t.Errorf("%d of %d targets are waiting for ever", w.waiting, len(w.targets))
			}
		})
	})
}

// What waits when the gateway ends is told of; what is under way may come to an end.
func TestClose(t *testing.T) {
	for name, test := range map[string]struct {
		took  time.Duration
		want  string
		after time.Duration
	}{
		"it ends in time": {time.Second, "slow delivered <nil>", time.Second},
		"it does not":     {time.Minute, "slow dropped " + errEnded.Error(), lastly},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.send("checkout")
				w.expect("checkout retried " + errNoAnswer.Error())
				w.look(func() { w.took, w.codes["slow.internal"] = test.took, 204 })
				w.send("slow")
				synctest.Wait()
				begun := time.Now()
				w.Close()
				if took := time.Since(begun); took != test.after {
					t.Errorf("it takes %v", took)
				}
				w.send("late")
				w.expect("checkout dropped "+errEnded.Error(), test.want, "late dropped "+errEnded.Error())
			})
		})
	}
}

func TestTargets(t *testing.T) {
	for url, want := range map[string]string{
		"https://checkout.internal/webhooks": "",
		"https://10.1.2.3:8443":              "",
		"http://localhost:8080/x?y=z":        "",
		"http://127.0.0.1/":                  "",
		"http://[::1]/":                      "",
		"http://checkout.internal/":          "write https",
		"http://localhost.example/":          "write https",
		"https://user:word@checkout/":        "a user name",
		"https://checkout/#x":                "a fragment",
		"checkout.internal/webhooks":         "not an https URL",
		"ftp://checkout/":                    "not an https URL",
		"https:///webhooks":                  "not an https URL",
		"":                                   "not an https URL",
		"http://localhost:99999/x":           "port",
		"https://checkout.internal:0/x":      "port",
		"https://checkout.internal:65535/x":  "",
	} {
		_, err := NewTarget(url, testSecret)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", url, err)
		}
	}
	if _, err := NewTarget(testURL, testSecret[1:]); err == nil || !strings.Contains(err.Error(), "fewer than 32 characters") {
		t.Errorf("a short secret: %v", err)
	}
	target, err := NewTarget(testURL, testSecret)
	if err != nil {
		t.Fatal(err)
	}
	d := Delivery{Target: target, Name: "checkout", Body: []byte("447700900000")}
	r, _ := target.request(context.Background(), d.Body, "1", time.Now())
	if text := fmt.Sprintf("%v %+v %#v", d, d, d); r == nil || strings.Contains(text, testSecret) || strings.Contains(text, "44770") {
		t.Errorf("it prints %s", text)
	}
}

// A target's trouble is told once until it works again, and no more than once a minute.
func TestTrouble(t *testing.T) {
	target, err := NewTarget(testURL, testSecret)
	if err != nil {
		t.Fatal(err)
	}
	if got := target.String(); got != "checkout.internal/webhooks" {
		t.Errorf("it is at %s", got)
	}
	var now time.Time
	for _, step := range []struct {
		name        string
		after       time.Duration
		works, tell bool
	}{
		{"at first all is well", time.Hour, true, false},
		{"it breaks", 0, false, true},
		{"still", time.Hour, false, false},
		{"it works again", 0, true, true},
		{"still", 0, true, false},
		{"it breaks again", 0, false, true},
		{"and works", time.Second, true, true},
		{"and breaks at once", time.Second, false, false},
		{"and works, which is no news", time.Second, true, false},
		{"and breaks later", time.Minute, false, true},
	} {
		now = now.Add(step.after)
		var tell bool
		if step.works {
			tell = target.Works()
		} else {
			tell = target.Breaks(now)
		}
		if tell != step.tell {
			t.Errorf("%s: told: %t", step.name, tell)
		}
	}
}

// Why there was no answer is told in words of the gateway's.
func TestNoAnswer(t *testing.T) {
	for name, test := range map[string]struct{ err, want error }{
		"no name":        {&net.OpError{Op: "dial", Err: &net.DNSError{Name: "SECRET"}}, errNoName},
		"nobody":         {&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, errNobody},
		"no certificate": {&tls.CertificateVerificationError{Err: errors.New("SECRET")}, errNotHTTPS},
		"no TLS":         {tls.RecordHeaderError{Msg: "SECRET"}, errNotHTTPS},
		"else":           {errors.New("SECRET"), errNoAnswer},
	} {
		if got := noAnswer(test.err); !errors.Is(got, test.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}
