package caddyverify

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

const testApplication = "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab"

// applicationKey is an application's private key and its public one, in PEM.
var applicationKey = sync.OnceValues(newApplicationKey)

func newApplicationKey() (private, public string) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	one, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	two, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: one})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: two}))
}

// atV2 is a gateway whose calls are answered by version 2, and, for a while, by both.
func atV2(t *testing.T, account Account) *direct {
	t.Helper()
	private, public := applicationKey()
	account.API, account.Application, account.PrivateKey = apiV2, testApplication, private
	return newDirect(t, &Handler{Account: account}, sandbox.Config{
		API: "v1 v2", APIKey: sandboxConfig.APIKey, APISecret: sandboxConfig.APISecret, Code: sandboxConfig.Code,
		Application: testApplication, PublicKey: public,
	})
}

// outcomeOf is what an answer says.
func outcomeOf(t *testing.T, o wire.Operation, w *httptest.ResponseRecorder) (wire.Status, string) {
	t.Helper()
	reading, err := wire.Read(o, wire.JSON, w.Body.Bytes())
	if err != nil || w.Code != 200 {
		t.Fatalf("%v: %d %s: %v", o, w.Code, w.Body, err)
	}
	return reading.Status, reading.RequestID
}

// A client of version 1 notices little of it that its calls are answered from version 2.
func TestV1FromV2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := atV2(t, Account{})
		defer d.close(t)
		expect := func(o wire.Operation, form string, want wire.Status) string {
			t.Helper()
			w := d.call(o, form)
			got, id := outcomeOf(t, o, w)
			if got != want {
				t.Fatalf("%v %s: %s, want %s", o, form, w.Body, want)
			}
			return id
		}
		id := expect(wire.Request, "number=447700900000&brand=Acme&workflow_id=6", "0")
		if len(id) != 32 || strings.Contains(id, "-") {
			t.Fatalf("request_id %s", id)
		}
		if again := expect(wire.Request, "number=447700900000&brand=Acme+Two", "10"); again != id && again != "" {
			t.Errorf("10 names %s, and not %s", again, id)
		}
		expect(wire.Search, "request_id="+id, wire.InProgress)
		expect(wire.Check, "request_id="+id+"&code=0000", "16")
		expect(wire.Control, "request_id="+id+"&cmd=cancel", "19")
		expect(wire.Check, "request_id="+id+"&code="+sandboxConfig.Code, "0")
		expect(wire.Search, "request_id="+id, wire.Succeeded)
		expect(wire.Check, "request_id="+id+"&code="+sandboxConfig.Code, "6")

		id = expect(wire.Request, "number=447700900001&brand=Acme", "0")
		time.Sleep(31 * time.Second)
		expect(wire.Control, "request_id="+id+"&cmd=cancel", "0")
		expect(wire.Search, "request_id="+id, wire.Cancelled)

		id = expect(wire.Request, "number=447700900002&brand=Acme&workflow_id=6", "0")
		for range 2 {
			expect(wire.Check, "request_id="+id+"&code=0000", "16")
		}
		expect(wire.Check, "request_id="+id+"&code=0000", "17")
		expect(wire.Search, "request_id="+id, wire.Failed)

		id = expect(wire.Request, "number=447700900003&brand=Acme&workflow_id=6&next_event_wait=60", "0")
		time.Sleep(66 * time.Second)
		expect(wire.Search, "request_id="+id, wire.Expired)

		expect(wire.Search, "request_id="+strings.Repeat("0", 32), wire.NoResponse)
		expect(wire.PSD2, "number=447700900004&payee=Acme&amount=48.00", "3")
		for _, call := range d.api.Calls() {
			if call.API != sandbox.V2 {
				t.Errorf("a call of version 1: %+v", call)
			}
		}
	})
}

// What is told from memory as long as the provider cannot have changed it is not told when version
// 2 has ended the verification.
func TestExpiryAtV2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := atV2(t, Account{Exclusive: true})
		defer d.close(t)
		_, id := outcomeOf(t, wire.Request, d.call(wire.Request, "number=447700900000&brand=Acme"))
		begun := time.Now()
		for {
			status, _ := outcomeOf(t, wire.Search, d.call(wire.Search, "request_id="+id))
			if status == wire.Expired {
				break
			}
			time.Sleep(time.Second)
		}
		if took := time.Since(begun); took > 3*180*time.Second+7*time.Second {
			t.Errorf("EXPIRED is told after %s", took)
		}
	})
}

// A call of version 2 to an account that is at version 1 never ends in an empty 200.
func TestVersion2AtVersion1(t *testing.T) {
	h := newGatewayWith(t, &Handler{Account: Account{Upstream: newUpstream(t).URL}})
	nothing := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })
	something := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		_, err := w.Write([]byte("something"))
		return err
	})
	for _, tt := range []struct {
		path string
		next caddyhttp.Handler
		code int
		body string
	}{
		{"/v2/verify", nothing, 404, `"title"`},
		{"/v2/verify/5e362789-588f-4fe7-8af7-1b20454dae79", nothing, 404, `"title"`},
		{"/v2/verify", something, 200, "something"},
		{"/v2/messages", nothing, 200, ""},
	} {
		w := httptest.NewRecorder()
		if err := h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, tt.path, strings.NewReader(`{"code":"0000"}`)), tt.next); err != nil {
			t.Fatal(err)
		}
		if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.body) {
			t.Errorf("%s: %d %s", tt.path, w.Code, w.Body)
		}
	}
}

// The other secret takes over where version 2 refuses the one in use, and not where it refuses
// something else.
func TestNextSecretAtV2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		with := sandboxConfig
		with.API = "v2"
		d := newDirect(t, &Handler{Account: Account{
			API: apiV2, Credentials: &Credentials{APIKey: testKey, APISecret: "another-secret"},
			NextCredentials: &Credentials{APIKey: testKey, APISecret: testSecret},
		}}, with)
		defer d.close(t)
		if got := d.call(wire.Request, "number=447700900000&brand=Acme"); statusOf(got) != "0" {
			t.Errorf("with the first refused: %s", got.Body)
		}
		if err := d.api.SetFaults(sandbox.Fault{Operation: "request", Kind: "status", Value: "4"}); err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			if got := d.call(wire.Request, fmt.Sprintf("number=44770090001%d&brand=Acme", i)); statusOf(got) != "4" {
				t.Errorf("what is refused for itself: %s", got.Body)
			}
		}
		if got := d.gateway.Account.Snapshot().Secrets; !slices.Equal(got, []wire.SecretName{wire.NextSecret}) {
			t.Errorf("then %v is in use", got)
		}
	})
}

// The switch to version 2 loses no login: what version 1 has under way goes on there.
func TestDrainV1(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		credentials := &Credentials{APIKey: sandboxConfig.APIKey, APISecret: sandboxConfig.APISecret}
		d := atV2(t, Account{Drain: apiV1, Credentials: credentials})
		defer d.close(t)
		var old []string
		for i := range 3 { // by a gateway at version 1, before
			w := httptest.NewRecorder()
			form := fmt.Sprintf("api_key=%s&api_secret=%s&number=44770090001%d&brand=Acme", credentials.APIKey, credentials.APISecret, i)
			d.api.ServeHTTP(w, httptest.NewRequest("POST", "/verify/json?"+form, nil))
			_, id := outcomeOf(t, wire.Request, w)
			old = append(old, id)
		}
		_, id := outcomeOf(t, wire.Request, d.call(wire.Request, "number=447700900020&brand=Acme"))
		for _, tt := range []struct {
			o    wire.Operation
			form string
			want wire.Status
		}{
			{wire.Search, "request_id=" + old[0], wire.InProgress},
			{wire.Check, "request_id=" + old[0] + "&code=" + sandboxConfig.Code, "0"},
			{wire.Search, "request_id=" + old[0], wire.Succeeded},
			{wire.Control, "request_id=" + old[1] + "&cmd=trigger_next_event", "0"},
			{wire.Check, "request_id=" + id + "&code=" + sandboxConfig.Code, "0"},
			{wire.Search, "request_id=" + id, wire.Succeeded},
			{wire.Check, "request_id=" + strings.Repeat("0", 32) + "&code=1234", "6"},
		} {
			w := d.call(tt.o, tt.form)
			if got, _ := outcomeOf(t, tt.o, w); got != tt.want {
				t.Errorf("%v %s: %s, want %s", tt.o, tt.form, w.Body, tt.want)
			}
		}
		_, other := outcomeOf(t, wire.Request, d.call(wire.Request, "number=447700900021&brand=Acme"))
		// One of the list is in memory, and the others are of both versions.
		w := d.call(wire.Search, "request_ids="+old[2]+"&request_ids="+other+"&request_ids="+id+"&request_ids="+old[0]+"&request_ids="+old[1])
		reading, err := wire.Read(wire.Search, wire.JSON, w.Body.Bytes())
		if err != nil || len(reading.Found) != 5 || reading.Found[0].RequestID != old[2] || reading.Found[1].RequestID != other || reading.Found[2].Status != wire.Succeeded {
			t.Errorf("%s: %v", w.Body, err)
		}
	})
}

// That the provider refuses the credentials of version 1 is no trouble of version 2's, which is
// called with a key.
func TestDrainV1Refused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := atV2(t, Account{Drain: apiV1, Credentials: &Credentials{APIKey: sandboxConfig.APIKey, APISecret: "wrong-secret"}})
		defer d.close(t)
		if got := d.call(wire.Check, "request_id="+strings.Repeat("0", 32)+"&code=1234"); statusOf(got) != "4" {
			t.Errorf("a check with version 1: %s", got.Body)
		}
		if got := d.call(wire.Request, "number=447700900020&brand=Acme"); statusOf(got) != "0" {
			t.Errorf("then a request with version 2: %s", got.Body)
		}
	})
}

// A new secret of the account is that of what version 1 has under way, too.
func TestDrainV1WithNewSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const newest = "S3cret-that-is-new"
		d := newDirect(t, &Handler{Account: Account{API: apiV2, Drain: apiV1}}, sandbox.Config{API: "v1 v2", APIKey: testKey, APISecret: newest, Code: testCode})
		defer d.close(t)
		w := httptest.NewRecorder()
		form := fmt.Sprintf("api_key=%s&api_secret=%s&number=%s&brand=Acme", testKey, newest, testNumber)
		d.api.ServeHTTP(w, httptest.NewRequest("POST", "/verify/json?"+form, nil))
		_, id := outcomeOf(t, wire.Request, w)
		if err := d.gateway.Use(upstream.NewSecret(newest), upstream.Secret{}); err != nil {
			t.Fatal(err)
		}
		if got := d.call(wire.Check, "request_id="+id+"&code="+testCode); statusOf(got) != "0" {
			t.Errorf("the right code is answered %s", got.Body)
		}
	})
}

// tokens notes what calls are authorized by.
type tokens struct {
	http.RoundTripper
	mu   sync.Mutex
	seen map[string]int
}

func (n *tokens) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	n.seen[r.Header.Get("Authorization")]++
	n.mu.Unlock()
	return n.RoundTripper.RoundTrip(r)
}

// Calls are signed once in ten minutes, however many there are, and not at all where there are none.
func TestOneSignatureAtAnyLoad(t *testing.T) {
	for _, load := range []int{1, 20, 200} { // calls a minute, all at once
		t.Run(fmt.Sprint(load), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := atV2(t, Account{Limit: -1, Breaker: &Breaker{Off: true}})
				defer d.close(t)
				noted := &tokens{RoundTripper: d.network.RoundTripper, seen: map[string]int{}}
				d.network.RoundTripper = noted
				if err := d.api.Change(func(s *sandbox.Settings) error { s.Limit = -1; return nil }); err != nil {
					t.Fatal(err)
				}
				number := 447911000000
				for minute := range 35 {
					if minute >= 12 && minute < 18 {
						time.Sleep(time.Minute)
						continue // nothing to sign for
					}
					var all sync.WaitGroup
					for range load {
						number++
						form := fmt.Sprintf("number=%d&brand=Acme", number)
						all.Go(func() {
							if got := d.call(wire.Request, form); statusOf(got) != "0" {
								t.Errorf("in minute %d: %s", minute, got.Body)
							}
						})
					}
					all.Wait()
					time.Sleep(time.Minute)
				}
				total := 0
				for _, n := range noted.seen {
					total += n
				}
				if len(noted.seen) != 4 || total != 29*load { // at 0, 10, 20 and 30 minutes
					t.Errorf("%d calls were signed by %d tokens, want %d by 4", total, len(noted.seen), 29*load)
				}
			})
		})
	}
}
