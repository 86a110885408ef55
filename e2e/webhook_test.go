//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

const signatureSecret = "e2e-signature-secret-of-the-account" //nolint:gosec // nobody's

// TestWebhookOfFleet has the provider tell one of two gateways how verifications end: with a store the other one tells it to applications, too,
// and so do both after a restart; without one it knows of nothing.
func TestWebhookOfFleet(t *testing.T) {
	for _, shared := range []bool{true, false} {
		t.Run(fmt.Sprintf("store=%v", shared), func(t *testing.T) {
			f := startTwo(t, shared)
			id := f.start(0)
			f.expect(0, id, "IN PROGRESS")
			elsewhere := map[bool]string{true: "IN PROGRESS", false: "101"}[shared]
			f.await(1, id, elsewhere) // the store may be late
			f.end(id)                 // past the gateways, so that only a webhook can tell
			f.await(0, id, "SUCCESS")
			if shared {
				elsewhere = "SUCCESS"
			}
			f.await(1, id, elsewhere)
			for i := range f.gateways {
				f.gateways[i].interrupt(t)
				f.run(i)
				f.await(i, id, elsewhere)
			}
			if got := f.provider.Calls(); len(got) != 2 {
				t.Errorf("the provider got %d calls, want the request and the code: %+v", len(got), got)
			}
		})
	}
}

// two are gateways of an account at version 2, to the first of which the provider's webhooks go.
type two struct {
	t         *testing.T
	provider  *sandbox.Sandbox
	url       string
	configs   [2]string
	addresses [2]string
	gateways  [2]*process
}

func startTwo(t *testing.T, shared bool) *two {
	t.Helper()
	keys := applicationKeys(t)
	public, err := os.ReadFile(filepath.Join(keys, "public.key"))
	if err != nil {
		t.Fatal(err)
	}
	f := &two{t: t, addresses: [2]string{freeAddress(t), freeAddress(t)}}
	f.provider, err = sandbox.New(sandbox.Config{
		API: sandbox.V2, APIKey: gatewayKey, APISecret: gatewaySecret, Code: fleetCode, Application: gatewayApplication, PublicKey: string(public),
		Webhook: "http://" + f.addresses[0] + "/webhooks/verify", SignatureSecret: signatureSecret,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.provider.Close() })
	server := httptest.NewServer(f.provider)
	t.Cleanup(server.Close)
	f.url = server.URL
	store := ""
	if shared {
		store = "store redis {\naddress " + startRedis(t).address + "\nencryption_key {env.E2E_STORE_KEY}\n}\n"
	}
	for i, address := range f.addresses {
		f.configs[i] = "{\nadmin off\npersist_config off\nauto_https off\nverify {\n" + store + "account shop {\nupstream " + f.url +
			"\napi v2\napplication " + gatewayApplication + "\nprivate_key {file." + keys + "/private.key}\nsignature_secret {env.E2E_SIGNATURE_SECRET}\n}\n}\n}\n" +
			"http://" + address + " {\nbind 127.0.0.1\nverify_webhook /webhooks/verify {\naccount shop\n}\nverify {\naccount shop\n}\n}\n"
		f.run(i)
	}
	return f
}

func (f *two) run(i int) {
	f.t.Helper()
	env := []string{"E2E_STORE_KEY=" + fleetStoreKey, "E2E_SIGNATURE_SECRET=" + signatureSecret}
	f.gateways[i] = startCaddyfile(f.t, env, f.configs[i], f.addresses[i])
}

// start begins a verification at a gateway.
func (f *two) start(i int) (id string) {
	f.t.Helper()
	answer := postForm(f.t, "http://"+f.addresses[i]+"/verify/json", "number=447700900400&brand=Acme")
	id = field(answer, "request_id")
	if field(answer, "status") != "0" {
		f.t.Fatal(answer)
	}
	return id
}

// end has somebody else enter the code.
func (f *two) end(id string) {
	f.t.Helper()
	dashed := id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
	r, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, f.url+"/v2/verify/"+dashed, strings.NewReader(`{"code":"`+fleetCode+`"}`))
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.SetBasicAuth(gatewayKey, gatewaySecret)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		f.t.Fatalf("the provider answers %d", response.StatusCode)
	}
}

func (f *two) search(i int, id string) string {
	f.t.Helper()
	return postForm(f.t, "http://"+f.addresses[i]+"/verify/search/json", "request_id="+id)
}

func (f *two) expect(i int, id, status string) {
	f.t.Helper()
	if answer := f.search(i, id); field(answer, "status") != status {
		f.t.Errorf("gateway %d says %s, want %s", i, answer, status)
	}
}

// await waits until a gateway says a status: webhooks and the store take their time.
func (f *two) await(i int, id, status string) {
	f.t.Helper()
	var answer string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if answer = f.search(i, id); field(answer, "status") == status {
			return
		}
	}
	f.t.Errorf("gateway %d says %s, want %s", i, answer, status)
}
