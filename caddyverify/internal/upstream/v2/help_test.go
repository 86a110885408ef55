package v2

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

const (
	canary = "Cana/ry+S3cretBx"
	id     = "c11236f4-00bf-4b89-84ba-88b25df97315"
	v1ID   = "c11236f400bf4b8984ba88b25df97315"
	other  = "b6fc2b91d23c43f9b8ea05f9be64415c"
	number = "447700900000"
)

// said is one answer of the provider.
type said struct {
	code int
	body string
}

// sent is one request as the provider got it.
type sent struct{ method, path, authorization, contentType, body string }

// provider is a Verify v2 in memory, that answers one after the other.
type provider struct {
	mu      sync.Mutex
	answers []said // the last one again and again
	sent    []sent
}

func (p *provider) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = append(p.sent, sent{r.Method, r.URL.String(), r.Header.Get("Authorization"), r.Header.Get("Content-Type"), string(body)})
	answer := p.answers[min(len(p.sent), len(p.answers))-1]
	header := http.Header{"Content-Type": {"application/json"}}
	if answer.code >= 400 {
		header.Set("Content-Type", "application/problem+json")
	}
	return &http.Response{
		StatusCode: answer.code, Header: header, ContentLength: int64(len(answer.body)), Body: io.NopCloser(strings.NewReader(answer.body)),
	}, nil
}

func saying(answers ...said) *provider { return &provider{answers: answers} }

func newClient(t testing.TB, transport http.RoundTripper) *Client {
	t.Helper()
	live, secret := new(upstream.Live), upstream.NewSecret(canary)
	live.Add(secret)
	c, err := New(Config{
		URL: "https://api.example.com", Key: "abcd1234", Auth: Basic("abcd1234", secret), Live: live,
		Transport: transport, Book: state.New(state.Settings{}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// params are those of a call, name by name.
func params(pairs ...string) (all []wire.Param) {
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, wire.Param{Name: pairs[i], Value: pairs[i+1]})
	}
	return all
}

func requestCall(more ...string) *wire.Call {
	return &wire.Call{Operation: wire.Request, Params: append(params("number", number, "brand", "Acme"), params(more...)...)}
}

func checkCall() *wire.Call {
	return &wire.Call{Operation: wire.Check, Params: params("request_id", v1ID, "code", "1234")}
}

func controlCall(cmd string) *wire.Call {
	return &wire.Call{Operation: wire.Control, Params: params("request_id", v1ID, "cmd", cmd)}
}

func probeCall() *wire.Call {
	return &wire.Call{Operation: wire.Search, Probe: true, Params: params("request_id", v1ID)}
}

// send makes a call, and wants its answer to say what it is taken for.
func send(t *testing.T, c *Client, call *wire.Call) wire.Answer {
	t.Helper()
	return readable(t, call, c.RoundTrip(t.Context(), call))
}

func readable(t *testing.T, call *wire.Call, answer wire.Answer) wire.Answer {
	t.Helper()
	if answer.Fault != nil {
		if len(answer.Body) > 0 || answer.Status == "" {
			t.Errorf("a fault comes with %q and status %q", answer.Body, answer.Status)
		}
		answer = wire.Say(answer.Fault, call.Operation, call.Format, false)
	}
	read, err := wire.Read(call.Operation, call.Format, answer.Body)
	switch {
	case err != nil:
		t.Errorf("the answer cannot be read: %v: %s", err, answer.Body)
	case read.Status != answer.Status || read.RequestID != answer.RequestID:
		t.Errorf("the answer says %q about %q, and is taken for %q about %q", read.Status, read.RequestID, answer.Status, answer.RequestID)
	case answer.Code != http.StatusOK || answer.ContentType != call.Format.ContentType():
		t.Errorf("the answer is HTTP %d, %s", answer.Code, answer.ContentType)
	}
	return answer
}

// errorText is what an answer tells people.
func errorText(t *testing.T, answer wire.Answer) string {
	t.Helper()
	var text struct {
		Text string `json:"error_text"`
	}
	if err := json.Unmarshal(answer.Body, &text); err != nil {
		t.Fatalf("%v: %s", err, answer.Body)
	}
	return text.Text
}

// begin has the client start a verification, and answers all further calls as said.
func begin(t *testing.T, p *provider, c *Client, call *wire.Call) {
	t.Helper()
	rest := p.answers
	p.answers = []said{{202, `{"request_id":"` + id + `"}`}}
	if answer := send(t, c, call); answer.Status != wire.Success {
		t.Fatalf("the request got %s", answer.Body)
	}
	p.answers, p.sent = rest, nil
}

func statusOf(t *testing.T, c *Client) wire.Status {
	t.Helper()
	v, known, _ := c.Book.Find(context.WithoutCancel(t.Context()), v1ID)
	if !known {
		return ""
	}
	return v.Status()
}
