package webhook

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

func TestReceive(t *testing.T) {
	hs256 := header("HS256")
	with := func(others said) string { return "Bearer " + sign(hs256, claim(event, others), secret) }
	ago := func(d time.Duration) int64 { return time.Now().Add(-d).Unix() }
	for _, c := range []struct {
		name          string
		authorization func() string
		want          error
	}{
		{"as the provider sends it", func() string { return with(nil) }, nil},
		{"in small letters", func() string { return "b" + with(nil)[1:] }, nil},
		{"the hash in capitals", func() string {
			return with(said{"payload_hash": strings.ToUpper(claim(event, nil)["payload_hash"].(string))})
		}, nil},
		{"without a hash of the body", func() string { return with(said{"payload_hash": nil}) }, nil},
		{"without an account", func() string { return with(said{"api_key": nil}) }, nil},
		{"without an application", func() string { return with(said{"application_id": nil}) }, nil},
		{"an application in capitals", func() string {
			return with(said{"application_id": "AAAAAAAA-BBBB-CCCC-DDDD-0123456789AB"})
		}, nil},
		{"without a name", func() string { return with(said{"jti": nil}) }, nil},
		{"a time with a fraction", func() string { return with(said{"iat": float64(ago(0)) + 0.5}) }, nil},
		{"signed just in time", func() string { return with(said{"iat": ago(5 * time.Minute)}) }, nil},
		{"signed a little later than now", func() string { return with(said{"iat": ago(-5 * time.Minute)}) }, nil},
		{"valid yet", func() string { return with(said{"exp": ago(-time.Second)}) }, nil},
		{"over by less than clocks differ", func() string { return with(said{"exp": ago(30 * time.Second)}) }, nil},
		{"valid from now on", func() string { return with(said{"nbf": ago(0)}) }, nil},

		{"unsigned", func() string { return "" }, ErrUnsigned},
		{"basic", func() string { return "Basic YTpi" }, ErrSignature},
		{"no token", func() string { return "Bearer" }, ErrSignature},
		{"no parts", func() string { return "Bearer x" }, ErrSignature},
		{"an encrypted one", func() string { return with(nil) + ".x.y" }, ErrSignature},
		{"too long", func() string { return with(said{"iss": strings.Repeat("x", maxToken)}) }, ErrSignature},
		{"alg none", func() string { return "Bearer " + sign(header("none"), claim(event, nil), secret) }, ErrSignature},
		{"alg none, without a signature", func() string {
			return "Bearer " + part(header("none")) + "." + part(claim(event, nil)) + "."
		}, ErrSignature},
		{"without a signature", func() string { return "Bearer " + part(hs256) + "." + part(claim(event, nil)) + "." }, ErrSignature},
		{"no alg", func() string { return "Bearer " + sign(said{"typ": "JWT"}, claim(event, nil), secret) }, ErrSignature},
		{"alg in small letters", func() string { return "Bearer " + sign(header("hs256"), claim(event, nil), secret) }, ErrSignature},
		{"alg HS512", func() string { return "Bearer " + sign(header("HS512"), claim(event, nil), secret) }, ErrSignature},
		{"alg RS256 with the secret as the key", func() string { return "Bearer " + sign(header("RS256"), claim(event, nil), secret) }, ErrSignature},
		{"alg RS256", func() string { return "Bearer " + signRSA(t, claim(event, nil)) }, ErrSignature},
		{"alg twice", func() string {
			return "Bearer " + sign(`{"alg":"none","alg":"HS256"}`, claim(event, nil), secret)
		}, ErrSignature},
		{"alg under another name", func() string { return "Bearer " + sign(`{"Alg":"HS256"}`, claim(event, nil), secret) }, ErrSignature},
		{"what must be understood", func() string {
			return "Bearer " + sign(said{"alg": "HS256", "crit": []string{"b64"}, "b64": false}, claim(event, nil), secret)
		}, ErrSignature},
		{"another secret", func() string { return "Bearer " + sign(hs256, claim(event, nil), secret+"x") }, ErrSignature},
		{"no secret", func() string { return "Bearer " + sign(hs256, claim(event, nil), "") }, ErrSignature},
		{"another signature", func() string { return with(nil)[:60] + "A" + with(nil)[61:] }, ErrSignature},
		{"a signature in another alphabet", func() string { return with(nil) + "=" }, ErrSignature},
		{"a signature whose last bits are others", func() string {
			const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
			text := with(nil)
			last := strings.IndexByte(letters, text[len(text)-1])
			return text[:len(text)-1] + letters[last+1:last+2]
		}, ErrSignature},
		{"no claims", func() string { return "Bearer " + sign(hs256, "x", secret) }, ErrSignature},
		{"a claim twice", func() string { return "Bearer " + sign(hs256, `{"iat":1,"iat":2}`, secret) }, ErrSignature},
		{"a time in words", func() string { return with(said{"iat": "now"}) }, ErrSignature},
		{"without a time", func() string { return with(said{"iat": nil}) }, ErrSignature},
		{"signed too long ago", func() string { return with(said{"iat": ago(5*time.Minute + time.Second)}) }, ErrSignature},
		{"signed too late", func() string { return with(said{"iat": ago(-5*time.Minute - time.Second)}) }, ErrSignature},
		{"signed never", func() string { return with(said{"iat": 1e300}) }, ErrSignature},
		{"over", func() string { return with(said{"exp": ago(time.Minute)}) }, ErrSignature},
		{"not valid yet", func() string { return with(said{"nbf": ago(-time.Minute)}) }, ErrSignature},
		{"of another body", func() string { return with(said{"payload_hash": claim(event+" ", nil)["payload_hash"]}) }, ErrSignature},
		{"of no body", func() string { return with(said{"payload_hash": ""}) }, ErrSignature},
		{"of what is no hash", func() string { return with(said{"payload_hash": "x"}) }, ErrSignature},
		{"of another account", func() string { return with(said{"api_key": "abcdef02"}) }, ErrSignature},
		{"of another application", func() string {
			return with(said{"application_id": "aaaaaaaa-bbbb-cccc-dddd-0123456789ac"})
		}, ErrSignature},
		{"of no application", func() string { return with(said{"application_id": ""}) }, ErrSignature},
		{"of nobody", func() string { return with(said{"api_key": ""}) }, ErrSignature},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, err := verifier(t).Receive(post(event, c.authorization()))
				if !errors.Is(err, c.want) {
					t.Fatalf("got %v, want %v", err, c.want)
				}
				if took := d.Event.ID != "" && string(d.Body) == event; took != (err == nil) {
					t.Errorf("taken: %v, with the error %v", took, err)
				}
				checkWords(t, err)
			})
		})
	}
}

// checkWords checks that an error says nothing of what it is about.
func checkWords(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	for _, word := range []string{secret, key, "c11236f4", "eyJ"} {
		if strings.Contains(err.Error(), word) {
			t.Errorf("%q tells too much", err)
		}
	}
}

func TestBodies(t *testing.T) {
	large := strings.Repeat(" ", MaxBody-len(event)) + event
	for _, c := range []struct {
		name, body string
		want       error
	}{
		{"as large as may be", large, nil},
		{"too large", large + " ", ErrTooLarge},
		{"none", "", ErrMalformed},
		{"no JSON", "request_id=c11236f4-00bf-4b89-84ba-88b25df97315", ErrMalformed},
		{"half of it", event[:len(event)/2], ErrMalformed},
		{"more than it", event + "x", ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := verifier(t)
			r := signed(c.body)
			if _, err := v.Receive(r); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			// What was not taken may come again.
			again := post(event, "Bearer "+sign(header("HS256"), claim(event, said{"jti": "again"}), secret))
			if _, err := v.Receive(again); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("cut off", func(t *testing.T) {
		v := verifier(t)
		whole := signed(event)
		r := whole.Clone(t.Context())
		r.Body = io.NopCloser(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(event))))
		if _, err := v.Receive(r); !errors.Is(err, ErrBody) {
			t.Error(err)
		}
		if _, err := v.Receive(whole); err != nil {
			t.Errorf("what did not arrive is not taken again: %v", err)
		}
	})
	t.Run("held up by a server's limit", func(t *testing.T) {
		r := signed(event)
		r.Body = http.MaxBytesReader(nil, r.Body, 10)
		if _, err := verifier(t).Receive(r); !errors.Is(err, ErrTooLarge) {
			t.Error(err)
		}
	})
	t.Run("two signatures", func(t *testing.T) {
		r := signed(event)
		r.Header.Add("Authorization", r.Header.Get("Authorization"))
		if _, err := verifier(t).Receive(r); !errors.Is(err, ErrSignature) {
			t.Error(err)
		}
	})
}

// TestOnce has the same webhook come again, as long as its signature is of now.
func TestOnce(t *testing.T) {
	for _, c := range []struct {
		name string
		jti  any
	}{{"with a name", "one"}, {"without", nil}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := verifier(t)
				authorization := "Bearer " + sign(header("HS256"), claim(event, said{"jti": c.jti, "iat": time.Now().Add(5 * time.Minute).Unix()}), secret)
				for i, after := range []time.Duration{0, 0, 5 * time.Minute, 5 * time.Minute} {
					time.Sleep(after)
					d, err := v.Receive(post(event, authorization))
					if err == nil {
						v.Settle(d, true)
					}
					if i > 0 != errors.Is(err, ErrReplayed) {
						t.Errorf("after %v: %v", after, err)
					}
					if Code(err) != http.StatusNoContent {
						t.Errorf("it is asked for again: %d", Code(err))
					}
				}
				time.Sleep(time.Second)
				if _, err := v.Receive(post(event, authorization)); !errors.Is(err, ErrSignature) {
					t.Error(err)
				}
			})
		})
	}
}

// TestOnceTogether has the same webhook come many times at once.
func TestOnceTogether(t *testing.T) {
	v := verifier(t)
	authorization := signed(event).Header.Get("Authorization")
	var all sync.WaitGroup
	var taken atomic.Int32
	for range 32 {
		all.Go(func() {
			if _, err := v.Receive(post(event, authorization)); err == nil {
				taken.Add(1)
			}
		})
	}
	all.Wait()
	if taken.Load() != 1 {
		t.Errorf("it was taken %d times", taken.Load())
	}
}

// TestUndecided has a webhook come again before it is known what becomes of it.
func TestUndecided(t *testing.T) {
	for _, c := range []struct {
		name  string
		taken bool
		after time.Duration // while it is known, and makes room
		want  error
	}{
		{"taken", true, 0, ErrReplayed},
		{"not taken", false, 0, nil},
		{"taken late", true, 11 * time.Minute, ErrReplayed},
		{"not taken for long", false, 11 * time.Minute, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := verifier(t)
				authorization := func() string {
					return "Bearer " + sign(header("HS256"), claim(event, said{"jti": "one"}), secret)
				}
				first, err := v.Receive(post(event, authorization()))
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(c.after)
				other, err := v.With(secret) // a new secret
				if err != nil {
					t.Fatal(err)
				}
				if _, err := other.Receive(post(event, authorization())); !errors.Is(err, ErrUndecided) || Code(err) != http.StatusServiceUnavailable {
					t.Errorf("meanwhile it has %v", err)
				}
				v.Settle(first, c.taken)
				if _, err := other.Receive(post(event, authorization())); !errors.Is(err, c.want) {
					t.Errorf("then it has %v, want %v", err, c.want)
				}
			})
		})
	}
}

// TestSeenByAll has Verifiers take each webhook once together.
func TestSeenByAll(t *testing.T) {
	seen := NewSeen()
	r := signed(event)
	for _, want := range []error{nil, ErrReplayed} {
		v, err := New(Settings{Secrets: []string{secret}, Seen: seen})
		if err != nil {
			t.Fatal(err)
		}
		d, err := v.Receive(post(event, r.Header.Get("Authorization")))
		if !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
		if err == nil {
			v.Settle(d, true)
		}
	}
}

func TestSeenIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSeen(time.Minute, 100)
		for i := range 10_000 {
			if s.first(fmt.Sprint(i)) != nil {
				t.Fatalf("%d is known", i)
			}
			switch i % 3 { // the others stay undecided
			case 0:
				s.take(fmt.Sprint(i))
			case 1:
				s.forget(fmt.Sprint(i))
			}
			if n := len(s.last) + len(s.before); n > 100 {
				t.Fatalf("%d are remembered", n)
			}
		}
		for id, want := range map[string]error{"9999": ErrReplayed, "9960": ErrReplayed, "9998": ErrUndecided, "9997": nil} {
			if err := s.first(id); !errors.Is(err, want) {
				t.Errorf("of the last ones %s has %v, want %v", id, err, want)
			}
		}
		s = newSeen(time.Minute, 100)
		for i := range 10_000 {
			s.take(fmt.Sprint(i)) // what was long in deciding
			if n := len(s.last) + len(s.before); n > 100 {
				t.Fatalf("%d are remembered", n)
			}
		}
		s = newSeen(time.Minute, 100)
		_ = s.first("9999")
		time.Sleep(2 * time.Minute)
		if s.first("9999") != nil || len(s.last) != 1 || len(s.before) != 0 {
			t.Error("it is remembered for ever")
		}
	})
}

func TestNextSecret(t *testing.T) {
	const next = "the next signature secret"
	v := verifier(t, next)
	for _, secret := range []string{secret, next} {
		if _, err := v.Receive(post(event, "Bearer "+sign(header("HS256"), claim(event, nil), secret))); err != nil {
			t.Error(err)
		}
	}
}

func TestNew(t *testing.T) {
	for _, c := range []struct {
		name string
		Settings
		bad bool
	}{
		{"none", Settings{}, true},
		{"empty", Settings{Secrets: []string{""}}, true},
		{"short", Settings{Secrets: []string{secret, secret[:MinSecret-1]}}, true},
		{"long enough", Settings{Secrets: []string{secret[:MinSecret]}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(c.Settings)
			if bad := err != nil; bad != c.bad || bad && strings.Contains(err.Error(), "signature secret o") {
				t.Error(err)
			}
		})
	}
	v := verifier(t)
	d, err := v.Receive(signed(event))
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		text := fmt.Sprintf(format, v) + fmt.Sprintf(format, *v) + fmt.Sprintf(format, d) + fmt.Sprintf(format, &d)
		if strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret)) || strings.Contains(text, "c11236f4") {
			t.Errorf("%s tells %s", format, text)
		}
	}
}

// TestNameless has two tokens without a name.
func TestNameless(t *testing.T) {
	v := verifier(t)
	for _, issuer := range []string{"one", "two"} {
		authorization := "Bearer " + sign(header("HS256"), claim(event, said{"jti": nil, "iss": issuer}), secret)
		if _, err := v.Receive(post(event, authorization)); err != nil {
			t.Error(err)
		}
	}
}

func TestAnyAccount(t *testing.T) {
	v, err := New(Settings{Secrets: []string{secret}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Receive(signed(event)); err != nil {
		t.Error(err)
	}
}

func TestCode(t *testing.T) {
	for err, want := range map[error]int{
		nil: 204, ErrReplayed: 204, ErrUnsigned: 503, ErrSignature: 401, ErrTooLarge: 413, ErrMalformed: 400, ErrBody: 400, ErrUndecided: 503,
		fmt.Errorf("%w: so", ErrSignature): 401,
	} {
		if got := Code(err); got != want {
			t.Errorf("%v has the code %d, want %d", err, got, want)
		}
	}
}
