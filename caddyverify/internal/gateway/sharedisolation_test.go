package gateway

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// TestIsolationOverGateways: whose a verification is, is known wherever it was started.
func TestIsolationOverGateways(t *testing.T) {
	for _, tt := range []struct {
		name          string
		prepare       func(*fleet)
		deny          bool
		own, anothers bool // reach the provider
	}{
		{"started elsewhere", func(*fleet) {}, false, true, false},
		{"after a restart of all", (*fleet).restart, false, true, false},
		{"the store is away", func(f *fleet) { f.away(true) }, false, true, true},
		{"the store is away, and unknown ones are denied", func(f *fleet) { f.away(true) }, true, false, false},
		{"denied, but the store is there", func(*fleet) {}, true, true, false},
	} {
		for path, more := range map[string]string{"search/json": "", "check/json": "&code=0000", "control/json": "&cmd=cancel"} {
			t.Run(tt.name+" "+path, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var asked atomic.Value
					send := direct(newSandbox(t))
					f := newFleet(t, 0, provider(func(r *http.Request) (int, string) {
						asked.Store(formOf(r).Get("request_id"))
						return send(r)
					}))
					f.deny = tt.deny
					f.isolated("checkout", "login")
					f.join()
					f.join()
					id := f.all[0].start("checkout", testNumber)
					tt.prepare(f)
					here := f.all[1]
					spelled := strings.ToUpper(id)
					for _, by := range []struct {
						caller  string
						reaches bool
					}{{"login", tt.anothers}, {"checkout", tt.own}} {
						asked.Store("")
						body := here.call(by.caller, path, "request_id="+spelled+more)
						if reached := asked.Load() == spelled; reached != by.reaches {
							t.Errorf("%s reaches it: %v, answered %s", by.caller, reached, body)
						}
						if asked.Load() == "" {
							t.Errorf("%s is answered without the provider: %s", by.caller, body)
						}
						if strings.Contains(body, asked.Load().(string)) && !by.reaches {
							t.Errorf("%s is told of the stand-in: %s", by.caller, body)
						}
					}
					nobodys := strings.Repeat("0123abcd", 4)
					if here.call("checkout", path, "request_id="+nobodys+more); (asked.Load() == nobodys) == (tt.deny && !tt.own) {
						t.Errorf("nobody's is asked for as %s", asked.Load())
					}
					settled()
					isolated, unknown := 0, 0
					f.mu.Lock()
					defer f.mu.Unlock()
					for _, e := range f.events {
						if d, ok := e.Detail.(CallIsolated); ok {
							isolated++
							if d.Unknown {
								unknown++
							}
						}
					}
					denied := tt.deny && !tt.own
					if want := map[bool]int{true: 3, false: map[bool]int{false: 1}[tt.anothers]}[denied]; isolated != want || unknown != map[bool]int{true: 3}[denied] {
						t.Errorf("%d calls were isolated, %d of them unknown", isolated, unknown)
					}
				})
			})
		}
	}
}

// TestIsolationOfWhoLeaves: a client that does not wait is told, and does, no more.
func TestIsolationOfWhoLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Value
		f := newFleet(t, 2, provider(func(r *http.Request) (int, string) {
			asked.Store(formOf(r).Get("request_id"))
			return http.StatusOK, `{"request_id":"0123456789abcdef0123456789abcdef","status":"0"}`
		}))
		f.isolated("login")
		id := f.all[0].start("checkout", testNumber)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/verify/check/json", strings.NewReader("code=1234&request_id="+id))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Caller", "login")
		f.all[1].ServeHTTP(httptest.NewRecorder(), r)
		if got := asked.Load(); got == id || got == "" {
			t.Errorf("a check of %q was made", got)
		}
	})
}

// formOf reads what a call says, which can be read again.
func formOf(r *http.Request) url.Values {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	form, _ := url.ParseQuery(r.URL.RawQuery + "&" + string(body))
	return form
}

// counting counts what is looked up.
type counting struct {
	store.Store
	looks atomic.Int32
}

func (c *counting) Look(ctx context.Context, id store.Name, f store.Field) (store.Found, error) {
	c.looks.Add(1)
	time.Sleep(time.Millisecond)
	return c.Store.Look(ctx, id, f)
}

func (c *counting) Read(ctx context.Context, n store.Name, after store.Position, most int) ([]store.Entry, error) {
	c.looks.Add(1)
	time.Sleep(time.Millisecond)
	return c.Store.Read(ctx, n, after, most)
}

// TestIsolationLooksAlike: as much is asked of the store about another's verification as about
// nobody's, and it takes as long, however often.
func TestIsolationLooksAlike(t *testing.T) {
	for name, fleet := range map[string]func(*testing.T) *fleet{
		"version 1": func(t *testing.T) *fleet {
			return newFleet(t, 2, provider(func(r *http.Request) (int, string) {
				if strings.Contains(r.URL.Path, "search") {
					return http.StatusOK, `{"request_id":"","status":"101","error_text":"No response found."}`
				}
				return http.StatusOK, `{"request_id":"0123456789abcdef0123456789abcdef","status":"0"}`
			}))
		},
		"version 2": func(t *testing.T) *fleet {
			f, _ := fleetAtV2(t, 2)
			return f
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := fleet(t)
				f.isolated("login")
				anothers, nobodys := f.all[0].start("checkout", testNumber), "fedcba9876543210fedcba9876543210"
				for _, m := range f.all { // which knows, and which does not
					looksAlike(t, m, anothers, nobodys)
				}
			})
		})
	}
}

func looksAlike(t *testing.T, m *member, ids ...string) {
	t.Helper()
	c := &counting{Store: m.link.Store}
	synctest.Wait() // nobody asks
	m.link.Store = c
	for path, more := range map[string]string{"check/json": "&code=1234", "control/json": "&cmd=cancel"} {
		type cost struct {
			looks int32
			took  time.Duration
		}
		seen := map[cost]bool{}
		for range 3 {
			for _, id := range ids {
				c.looks.Store(0)
				begun := time.Now()
				m.call("login", path, "request_id="+id+more)
				seen[cost{c.looks.Load(), time.Since(begun)}] = true
			}
		}
		if len(seen) != 1 {
			t.Errorf("%s: they can be told apart: %v", path, seen)
		}
	}
}

// TestIsolationLooksUpTogether: several verifications take as long as one.
func TestIsolationLooksUpTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, direct(newSandbox(t)))
		c := &counting{Store: f.all[0].link.Store}
		synctest.Wait() // nobody asks
		f.all[0].link.Store = c
		begun := time.Now()
		f.all[0].whose(t.Context(), []string{"a", "b", "c", "d", "e"}, started.known)
		if took := time.Since(begun); took != time.Millisecond || c.looks.Load() != 5 {
			t.Errorf("it took %v and %d calls", took, c.looks.Load())
		}
	})
}

// TestRevealOverGateways: the request_id of a verification under way is told to whom it belongs.
func TestRevealOverGateways(t *testing.T) {
	for _, away := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, 2, direct(newSandbox(t)))
			f.isolated("checkout", "login")
			id := f.all[0].start("checkout", testNumber)
			f.all[1].link.away.Store(away)
			for caller, want := range map[string]bool{"checkout": !away, "login": false} {
				body := f.all[1].call(caller, "json", "brand=Other&number="+testNumber)
				if !strings.Contains(body, `"status":"10"`) || strings.Contains(body, id) != want {
					t.Errorf("%s is told %s", caller, body)
				}
			}
		})
	}
}
