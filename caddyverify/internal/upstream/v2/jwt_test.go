package v2

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

const application = "78d335fa-323d-0114-9c3d-d6f0d48968cf"

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func pkcs8(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return inPEM("PRIVATE KEY", der)
}

func inPEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func newJWT(t testing.TB, live *upstream.Live) *JWT {
	t.Helper()
	j, err := NewJWT(application, upstream.NewSecret(pkcs8(t, testKey())), live)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func authorization(t testing.TB, a Authorizer) string {
	t.Helper()
	h := http.Header{}
	if err := a.Authorize(h); err != nil {
		t.Fatal(err)
	}
	return h.Get("Authorization")
}

func TestJWT(t *testing.T) {
	for name, key := range map[string]string{"PKCS#8": pkcs8(t, testKey()), "PKCS#1": inPEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(testKey()))} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				live := new(upstream.Live)
				j, err := NewJWT(application, upstream.NewSecret(key), live)
				if err != nil {
					t.Fatal(err)
				}
				token, ok := strings.CutPrefix(authorization(t, j), "Bearer ")
				parts := strings.Split(token, ".")
				if !ok || len(parts) != 3 {
					t.Fatal("no bearer token of three parts")
				}
				decode := func(part string, into any) {
					text, err := base64.RawURLEncoding.DecodeString(part)
					if err == nil {
						err = json.Unmarshal(text, into)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				var header map[string]string
				decode(parts[0], &header)
				if len(header) != 2 || header["alg"] != "RS256" || header["typ"] != "JWT" {
					t.Errorf("the header is %v", header)
				}
				var claims struct {
					Application string `json:"application_id"`
					Issued      int64  `json:"iat"`
					Expires     int64  `json:"exp"`
					ID          string `json:"jti"`
				}
				decode(parts[1], &claims)
				if now := time.Now().Unix(); claims.Application != application || claims.Issued != now-5 || claims.Expires != now-5+900 || uuid(claims.ID) != claims.ID || claims.ID[14] != '4' {
					t.Errorf("the claims are %+v", claims)
				}
				signature, err := base64.RawURLEncoding.DecodeString(parts[2])
				if err != nil {
					t.Fatal(err)
				}
				sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
				if err := rsa.VerifyPKCS1v15(&testKey().PublicKey, crypto.SHA256, sum[:], signature); err != nil {
					t.Error(err)
				}
				if !live.In([]byte(`{"echo":"` + token + `"}`)) {
					t.Error("the token is not looked for in answers")
				}
			})
		})
	}
}

// However many calls there are, a token serves for ten minutes.
func TestOneSignatureInTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJWT(t, new(upstream.Live))
		var mu sync.Mutex
		seen := map[string]time.Time{}
		begun := time.Now()
		var wg sync.WaitGroup
		for n := range 1000 {
			wg.Go(func() {
				time.Sleep(time.Duration(n) * time.Millisecond)
				for time.Since(begun) < 59*time.Minute {
					token := authorization(t, j)
					mu.Lock()
					if first, known := seen[token]; !known {
						seen[token] = time.Now()
					} else if time.Since(first) >= 10*time.Minute {
						t.Error("a token is used for too long")
					}
					mu.Unlock()
					time.Sleep(time.Minute)
				}
			})
		}
		wg.Wait()
		if len(seen) != 6 {
			t.Errorf("%d signatures in 59 minutes", len(seen))
		}
	})
}

// A token that the provider calls expired is made anew once, whoever is told.
func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		live := new(upstream.Live)
		j := newJWT(t, live)
		first := authorization(t, j)
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if !j.Renew(first) {
					t.Error("a call was not made again")
				}
			})
		}
		wg.Wait()
		second := authorization(t, j)
		if second == first {
			t.Fatal("the token is the same")
		}
		if j.Renew(second) || authorization(t, j) != second {
			t.Error("a token was made for every call")
		}
		time.Sleep(time.Minute)
		if !j.Renew(second) || authorization(t, j) == second {
			t.Error("no token was made after a minute")
		}
		if !live.In([]byte(strings.TrimPrefix(first, "Bearer "))) {
			t.Error("a token of which calls may be under way is not looked for")
		}
		time.Sleep(15 * time.Minute)
		authorization(t, j)
		if live.In([]byte(strings.TrimPrefix(first, "Bearer "))) {
			t.Error("a token that has expired is still looked for")
		}
	})
}

// A call whose token has expired is made again with another, once.
func TestExpiredIsSentAgain(t *testing.T) {
	begun := said{202, `{"request_id":"` + id + `"}`}
	byDetail := said{401, `{"title":"You did not provide correct credentials.","detail":"The JWT provided has expired."}`}
	for _, test := range []struct {
		name    string
		answers []said
		sends   int
		status  wire.Status
	}{
		{"once", []said{expired, begun}, 2, "0"},
		{"once, by its text", []said{byDetail, begun}, 2, "0"},
		{"for good", []said{expired}, 2, "4"},
		{"not for another reason", []said{unauthorized, begun}, 1, "4"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := saying(test.answers...)
			c := newClient(t, p)
			c.Auth = newJWT(t, c.Live)
			answer := send(t, c, requestCall())
			if answer.Status != test.status || len(p.sent) != test.sends {
				t.Errorf("got %s, with %d requests", answer.Body, len(p.sent))
			}
			if len(p.sent) == 2 && p.sent[0].authorization == p.sent[1].authorization {
				t.Error("the same token was sent again")
			}
		})
	}
}

// The other secret's credentials are those of the attempts that ask for them.
func TestNextSecret(t *testing.T) {
	p := saying(said{204, ""})
	c := newClient(t, p)
	c.Next = Basic("abcd1234", upstream.NewSecret("another"))
	c.RoundTrip(wire.WithAttempt(t.Context(), wire.Attempt{Secret: wire.NextSecret}), checkCall())
	if want := "Basic YWJjZDEyMzQ6YW5vdGhlcg=="; p.sent[0].authorization != want {
		t.Errorf("sent %s", p.sent[0].authorization)
	}
}

// What cannot be used says so, with how to mend it and nothing of the key.
func TestUnusableKeys(t *testing.T) {
	good := pkcs8(t, testKey())
	short, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // that is the point
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&testKey().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	body := []byte("0123456789abcdef")
	for _, test := range []struct{ name, key, says string }{
		{"nothing", "", "it is empty"},
		{"blanks", " \n", "it is empty"},
		{"a word", "hunter2hunter2", "it is not PEM"},
		{"ends of lines written", strings.ReplaceAll(good, "\n", `\n`), `written as \n`},
		{"one line", strings.ReplaceAll(good, "\n", " "), "put it into a file as it came"},
		{"its end cut off", good[:len(good)-20], "its end is missing"},
		{"two keys", pkcs8(t, testKey()) + pkcs8(t, testKey()), "there is more in it than one key: leave the application's alone"},
		{"damaged", inPEM("PRIVATE KEY", body), "it is damaged"},
		{"damaged PKCS#1", inPEM("RSA PRIVATE KEY", body), "it is damaged"},
		{"encrypted", inPEM("ENCRYPTED PRIVATE KEY", body), "it is encrypted: `openssl pkey"},
		{"encrypted PKCS#1", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMDEyMzQ1Njc4OWFiY2RlZg==\n-----END RSA PRIVATE KEY-----\n", "it is encrypted"},
		{"public", inPEM("PUBLIC KEY", public), "it is the public part"},
		{"a certificate", inPEM("CERTIFICATE", body), "it is the public part"},
		{"OpenSSH's", inPEM("OPENSSH PRIVATE KEY", body), "ssh-keygen -p"},
		{"another kind", inPEM("PGP", body), "it is PEM of another kind"},
		{"of a curve", pkcs8(t, curve), "it is not an RSA key"},
		{"of a curve, in its own form", inPEM("EC PRIVATE KEY", body), "it is not an RSA key"},
		{"short", pkcs8(t, short), "less than 2048 bits"},
	} {
		_, err := NewJWT(application, upstream.NewSecret(test.key), new(upstream.Live))
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: the error is %v", test.name, err)
		}
		for _, word := range strings.FieldsFunc(test.key, func(r rune) bool { return r == '\n' || r == ' ' || r == '\\' }) {
			if err != nil && len(word) > 8 && !strings.HasPrefix(word, "-----") && strings.Contains(err.Error(), word) {
				t.Errorf("%s: the error shows the key: %v", test.name, err)
			}
		}
	}
	if _, err := NewJWT("shop", upstream.NewSecret(good), new(upstream.Live)); err == nil || !strings.Contains(err.Error(), "not a UUID") {
		t.Errorf("an application without a UUID: %v", err)
	}
}

// Whatever prints a client prints neither key nor token.
func TestCredentialsAreNotPrinted(t *testing.T) {
	c := newClient(t, saying(said{204, ""}))
	j := newJWT(t, c.Live)
	c.Auth = j
	token := strings.TrimPrefix(authorization(t, j), "Bearer ")
	c.Next = Basic("abcd1234", upstream.NewSecret(canary))
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+" "+verb+" "+verb+" "+verb+"\n", c, c.Auth, c.Next, c.Config)
	}
	for name, secret := range map[string]string{"token": token, "secret": canary, "the key": testKey().D.String(), "the key in hex": fmt.Sprintf("%x", testKey().D)} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%s is printed", name)
		}
	}
}

// What nobody uses any more is not looked for in answers for ever.
func TestClosedTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		live := new(upstream.Live)
		j := newJWT(t, live)
		tokens := []string{authorization(t, j)}
		j.Close(time.Minute)
		time.Sleep(tokenUse)
		tokens = append(tokens, authorization(t, j))
		if !live.In([]byte(tokens[1])) {
			t.Error("a token in use is not looked for")
		}
		time.Sleep(tokenLife)
		live.Add() // notices what is over
		for i, token := range tokens {
			if live.In([]byte(token)) {
				t.Errorf("token %d is looked for yet", i+1)
			}
		}
	})
}
