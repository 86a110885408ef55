package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const twoSteps = `{"brand":"Acme","client_ref":"ref1","channel_timeout":60,"workflow":[{"channel":"sms","to":"447700900000"},{"channel":"voice","to":"447700900000"}]}`

// What is told of a verification, by how it ends.
func TestWebhooks(t *testing.T) {
	const sms = `{"request_id":"ID","triggered_at":"2000-01-01T00:00:00.000Z","status":"expired","type":"event","channel":"sms","finalized_at":"2000-01-01T00:01:00.000Z","client_ref":"ref1"}` + "\n"
	const workflow = `"workflow":[{"channel":"sms","initiated_at":"2000-01-01T00:00:00.000Z","status":"expired"},{"channel":"voice","initiated_at":"2000-01-01T00:01:00.000Z",`
	for _, test := range []struct {
		name string
		body string
		do   func(s *Sandbox, id string)
		want string
	}{
		{"nobody answers", twoSteps, func(*Sandbox, string) { time.Sleep(2 * time.Minute) }, sms +
			`{"request_id":"ID","triggered_at":"2000-01-01T00:01:00.000Z","status":"expired","type":"event","channel":"voice","finalized_at":"2000-01-01T00:02:00.000Z","client_ref":"ref1"}` + "\n" +
			`{"request_id":"ID","submitted_at":"2000-01-01T00:00:00.000Z","status":"expired","type":"summary","channel_timeout":60,` + workflow + `"status":"expired"}],"client_ref":"ref1"}` + "\n"},
		{"the right code", twoSteps, func(s *Sandbox, id string) {
			time.Sleep(10 * time.Second)
			askV2(s, "POST", "/v2/verify/"+id, `{"code":"4321"}`)
		}, `{"request_id":"ID","triggered_at":"2000-01-01T00:00:00.000Z","status":"completed","type":"event","channel":"sms","finalized_at":"2000-01-01T00:00:10.000Z","client_ref":"ref1"}` + "\n" +
			`{"request_id":"ID","submitted_at":"2000-01-01T00:00:00.000Z","status":"completed","type":"summary","channel_timeout":60,"workflow":[{"channel":"sms","initiated_at":"2000-01-01T00:00:00.000Z","status":"completed"},{"channel":"voice","status":"unused"}],"client_ref":"ref1"}` + "\n"},
		{"three wrong codes for the second step", twoSteps, func(s *Sandbox, id string) {
			time.Sleep(time.Minute)
			for range 3 {
				askV2(s, "POST", "/v2/verify/"+id, `{"code":"0000"}`)
			}
		}, sms +
			`{"request_id":"ID","triggered_at":"2000-01-01T00:01:00.000Z","status":"failed","type":"event","channel":"voice","finalized_at":"2000-01-01T00:01:00.000Z","client_ref":"ref1"}` + "\n" +
			`{"request_id":"ID","submitted_at":"2000-01-01T00:00:00.000Z","status":"failed","type":"summary","channel_timeout":60,` + workflow + `"status":"failed"}],"client_ref":"ref1"}` + "\n"},
		{"cancelled", twoSteps, func(s *Sandbox, id string) {
			time.Sleep(40 * time.Second)
			askV2(s, "DELETE", "/v2/verify/"+id, "")
			time.Sleep(time.Hour)
		}, ""},
		{
			"blocked", oneStep("447700900107", ""), func(*Sandbox, string) { time.Sleep(5 * time.Second) },
			`{"request_id":"ID","triggered_at":"2000-01-01T00:00:00.000Z","status":"blocked","type":"event","channel":"sms","finalized_at":"2000-01-01T00:00:05.000Z"}` + "\n" +
				`{"request_id":"ID","submitted_at":"2000-01-01T00:00:00.000Z","status":"blocked","type":"summary","channel_timeout":180,"workflow":[{"channel":"sms","initiated_at":"2000-01-01T00:00:00.000Z","status":"blocked","reason":"Fraudulent traffic detected for your account on network [ 23415 ]."}]}` + "\n",
		},
		{
			"a step for the handset", `{"brand":"Acme","workflow":[{"channel":"silent_auth","to":"447700900000"}]}`, func(*Sandbox, string) {},
			`{"request_id":"ID","triggered_at":"2000-01-01T00:00:00.000Z","status":"action_pending","type":"event","channel":"silent_auth","action":{"type":"check","check_url":"https://example.com/v2/verify/ID/silent-auth/redirect"}}` + "\n",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, r := withWebhooks(t, Config{})
				test.do(s, beginTold(t, s, test.body))
				got := r.take()
				if bodies(got) != test.want {
					t.Errorf("got\n%swant\n%s", bodies(got), test.want)
				}
				for _, hook := range got {
					sum := sha256.Sum256([]byte(hook.body))
					c := hook.claims
					if !hook.signed || c["api_key"] != testKey || c["application_id"] != testApplication || c["iss"] != "Vonage" ||
						c["iat"] != float64(hook.at.Unix()) || c["payload_hash"] != hex.EncodeToString(sum[:]) || !uuidPattern.MatchString(c["jti"].(string)) {
						t.Errorf("signed %v with %v", hook.signed, c)
					}
				}
			})
		})
	}
}

// Older documents have a price, and an action in a list: both come now and then.
func TestWebhookVariants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := withWebhooks(t, Config{})
		for range 2 {
			id := beginTold(t, s, oneStep(testNumber, ""))
			askV2(s, "POST", "/v2/verify/"+id, `{"code":"4321"}`)
		}
		beginTold(t, s, `{"brand":"A","workflow":[{"channel":"silent_auth","to":"447700900001"}]}`)
		beginTold(t, s, `{"brand":"A","workflow":[{"channel":"silent_auth","to":"447700900002"}]}`)
		got := r.take()
		if len(got) != 6 {
			t.Fatalf("got\n%s", bodies(got))
		}
		if strings.Contains(got[1].body, "price") || !strings.Contains(got[3].body, `"price":"0.09675","finalized_at":"2000-01-01T00:00:00.000Z"`) {
			t.Errorf("prices:\n%s", bodies(got))
		}
		if !strings.Contains(got[4].body, `"action":{"type":"check",`) || !strings.Contains(got[5].body, `"action":[{"type":"check",`) {
			t.Errorf("actions:\n%s", bodies(got))
		}
	})
}

// Basic does not support webhooks.
func TestNoWebhookByBasic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := withWebhooks(t, Config{})
		beginV2(t, s)
		time.Sleep(time.Hour)
		if got := r.take(); len(got) != 0 {
			t.Errorf("got\n%s", bodies(got))
		}
	})
}

// Where any JWT is accepted, webhooks name the application that it names.
func TestWebhookOfAnyApplication(t *testing.T) {
	for token, want := range map[string]string{
		sign(t, testSigner(), headerRS256, goodClaims()):                             testApplication,
		sign(t, testSigner(), headerRS256, goodClaims().with("application_id", nil)): "any",
		"anything": "any",
	} {
		synctest.Test(t, func(t *testing.T) {
			r := new(receiver)
			s, err := New(Config{API: V2, Webhook: "https://gateway.example/webhook", SignatureSecret: testSignature, Transport: r})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			askBearer(s, "POST", "/v2/verify", token, oneStep(testNumber, ""))
			time.Sleep(time.Hour)
			got := r.take()
			if len(got) != 2 || !got[0].signed || got[0].claims["application_id"] != want {
				t.Errorf("%s: got\n%+v", token, got)
			}
		})
	}
}

// A webhook is delivered once more, and no more, if it is not accepted.
func TestWebhookAgain(t *testing.T) {
	for name, test := range map[string]struct {
		codes []int
		want  string // when each came, in seconds
	}{
		"accepted":         {[]int{200, 204}, "0s 0s"},
		"the event fails":  {[]int{500}, "0s 0s 10s"},
		"fails twice":      {[]int{500, 204, 401}, "0s 0s 10s"},
		"no answer, moved": {[]int{0, 302}, "0s 0s 10s 10s"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, r := withWebhooks(t, Config{})
			begun := time.Now()
			r.codes = test.codes
			askV2(s, "POST", "/v2/verify/"+beginTold(t, s, oneStep(testNumber, "")), `{"code":"4321"}`)
			time.Sleep(time.Hour)
			var times []string
			got := r.take()
			ids := map[any]bool{}
			for _, hook := range got {
				times = append(times, hook.at.Sub(begun).String())
				ids[hook.claims["jti"]] = true
			}
			if strings.Join(times, " ") != test.want || len(ids) != len(got) {
				t.Errorf("%s: they came at %v with %d ids, want %s", name, times, len(ids), test.want)
			}
		})
	}
}

func TestWebhookFaults(t *testing.T) {
	type seen = []received
	for fault, right := range map[string]func(got seen, begun time.Time) bool{
		"webhook lose": func(got seen, _ time.Time) bool { return len(got) == 0 },
		"webhook lose 50%": func(got seen, _ time.Time) bool {
			return len(got) == 1 && strings.Contains(got[0].body, `"event"`)
		},
		"webhook double": func(got seen, _ time.Time) bool {
			return len(got) == 4 && got[0].token == got[1].token && got[0].body == got[1].body && got[2].body == got[3].body && got[0].signed
		},
		"webhook late 5s": func(got seen, begun time.Time) bool {
			return len(got) == 2 && got[0].at.Sub(begun) == 5*time.Second && strings.Contains(got[0].body, `"event"`)
		},
		"webhook unsigned": func(got seen, _ time.Time) bool {
			return len(got) == 4 && got[0].token == "" && got[1].token == "" && got[2].signed && got[2].body == got[0].body
		},
		"* delay 5s": func(got seen, begun time.Time) bool { // of calls
			return len(got) == 2 && got[0].signed && got[1].at.Sub(begun) == 5*time.Second
		},
		"webhook forge": func(got seen, _ time.Time) bool {
			return len(got) == 2 && !got[0].signed && got[0].claims["api_key"] == testKey
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			f, err := ParseFault(fault)
			if err != nil {
				t.Fatal(err)
			}
			s, r := withWebhooks(t, Config{Faults: []Fault{f}})
			switch {
			case strings.Contains(fault, "unsigned"):
				r.codes = []int{500, 500}
			case strings.Contains(fault, "forge"):
				r.codes = []int{401, 401} // a forger does not try again
			}
			begun := time.Now()
			askV2(s, "POST", "/v2/verify/"+beginTold(t, s, oneStep(testNumber, "")), `{"code":"4321"}`)
			time.Sleep(time.Hour)
			if got := r.take(); !right(got, begun) {
				t.Errorf("%s: got\n%+v", fault, got)
			}
			for i, hook := range s.Webhooks() {
				if want := strings.Fields(fault)[1]; !hook.Again && strings.HasSuffix(fault, want) && hook.Fault != want {
					t.Errorf("%s: delivery %d is recorded as %+v", fault, i, hook)
				}
			}
		})
	}
	for line, want := range map[string]string{
		"webhook delay 1s": "webhooks have faults of their own, double, forge, late, lose, unsigned",
		"* lose":           "webhooks have faults of their own",
		"request unsigned": "webhooks have faults of their own",
		"webhook late":     "needs a duration",
	} {
		if _, err := ParseFault(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", line, err, want)
		}
	}
}

// A share that is late is overtaken.
func TestWebhooksInDisorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := withWebhooks(t, Config{})
		late, err := ParseFault("webhook late 90s 50%")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SetFaults(late); err != nil {
			t.Fatal(err)
		}
		beginTold(t, s, twoSteps)
		time.Sleep(time.Hour)
		var order []string
		for _, hook := range r.take() {
			f := fields(t, hook.body)
			order = append(order, f["type"]+f["channel"])
		}
		if got := strings.Join(order, " "); got != "eventsms summary eventvoice" {
			t.Errorf("they came as %s", got)
		}
	})
}

// Webhooks come by the sandbox's clock, whatever its speed, also one that changes.
func TestWebhooksBySpeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := withWebhooks(t, Config{Speed: 60})
		begun := time.Now()
		beginTold(t, s, twoSteps)
		synctest.Wait()
		time.Sleep(1500 * time.Millisecond)
		got := r.take()
		if len(got) != 1 || got[0].at.Sub(begun) < time.Second || got[0].at.Sub(begun) > 1001*time.Millisecond {
			t.Fatalf("got\n%+v", got)
		}
		if !strings.Contains(got[0].body, `"triggered_at":"2000-01-01T00:00:00.000Z"`) || !strings.Contains(got[0].body, `"finalized_at":"2000-01-01T00:00:01.000Z"`) {
			t.Errorf("its times are not those of who receives it: %s", got[0].body)
		}
		if err := s.Change(func(settings *Settings) error { settings.Speed = 1; return nil }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if got := r.take(); len(got) != 0 {
			t.Errorf("too early\n%+v", got)
		}
		if err := s.Change(func(settings *Settings) error { settings.Speed = 20; return nil }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second + time.Millisecond) // 20 s of what is left
		if got := r.take(); len(got) != 2 {
			t.Errorf("at its end\n%+v", got)
		}
	})
}

// The last sandbox of an account tells, also of verifications that another one began,
// and when all are closed none does.
func TestWebhooksOverReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, old := withWebhooks(t, Config{})
		beginTold(t, first, twoSteps)
		if err := first.SetFaults(Fault{Operation: "webhook", Kind: "lose"}); err != nil {
			t.Fatal(err)
		}
		cfg := first.cfg
		r := new(receiver)
		cfg.Transport, cfg.Faults = r, []Fault{{Operation: "webhook", Kind: "unsigned"}}
		second, err := first.With(cfg)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(61 * time.Second)
		if got := r.take(); len(got) != 1 || got[0].token != "" || len(old.take()) != 0 {
			t.Errorf("after the reload\n%+v", got)
		}
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := r.take(); len(got) != 2 || len(old.take()) != 0 {
			t.Errorf("after the old one's end\n%+v", got)
		}
		beginTold(t, second, twoSteps)
		if err := second.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if got := r.take(); len(got) != 0 {
			t.Errorf("after the end\n%+v", got)
		}
	})
}

// Nothing runs on once all is told, and nothing runs where nothing is to be told.
func TestWebhooksEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := withWebhooks(t, Config{})
		runs := func() bool {
			synctest.Wait()
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.webhooks.wake != nil
		}
		beginV2(t, s, oneStep("447700900001", ""))
		if runs() {
			t.Error("a goroutine runs for a verification that was begun with Basic")
		}
		id := beginTold(t, s, twoSteps)
		time.Sleep(31 * time.Second)
		if !runs() {
			t.Error("none runs while one is under way")
		}
		askV2(s, "DELETE", "/v2/verify/"+id, "")
		if runs() {
			t.Error("it runs on after a cancellation")
		}
		beginTold(t, s, oneStep("447700900002", ""))
		time.Sleep(181 * time.Second)
		if runs() {
			t.Error("it runs on")
		}
	})
}

// Close does not wait for a receiver that never answers.
func TestCloseWhileDelivering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := withWebhooks(t, Config{})
		s.cfg.Transport = hanging{}
		askV2(s, "POST", "/v2/verify/"+beginTold(t, s, oneStep(testNumber, "")), `{"code":"4321"}`)
		synctest.Wait()
		begun := time.Now()
		if err := s.Close(); err != nil || time.Since(begun) != 0 {
			t.Errorf("it took %v: %v", time.Since(begun), err)
		}
	})
}

type hanging struct{}

func (hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}
