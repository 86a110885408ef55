package sandbox

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const testApplication = "78d335fa-323d-0114-9c3d-d6f0d48968cf"

// testSigner is the key of the test application.
var testSigner = sync.OnceValue(func() *rsa.PrivateKey { return newSigner(2048) })

func newSigner(bits int) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return key
}

func publicPEM(key *rsa.PrivateKey) string {
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

type claims map[string]any

// goodClaims are those of a JWT that is in order.
func goodClaims() claims {
	now := time.Now().Unix()
	return claims{"application_id": testApplication, "iat": now - 5, "exp": now + 900, "jti": newEventID()}
}

func (c claims) with(name string, value any) claims {
	if c[name] = value; value == nil {
		delete(c, name)
	}
	return c
}

// sign makes a JWT by RS256.
func sign(t *testing.T, key *rsa.PrivateKey, header string, c claims) string {
	t.Helper()
	payload, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	signed := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

const headerRS256 = `{"alg":"RS256","typ":"JWT"}`

func askBearer(s *Sandbox, method, path, token, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	return serve(s, r)
}

func TestV2JWT(t *testing.T) {
	key := testSigner()
	good := sign(t, key, headerRS256, goodClaims())
	parts := strings.Split(good, ".")
	mac := hmac.New(sha256.New, []byte(publicPEM(key)))
	confused := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + parts[1]
	mac.Write([]byte(confused))
	now := time.Now().Unix()
	const detail, lapsed = "You did not provide correct credentials.", "The JWT provided has expired."
	for name, test := range map[string]struct {
		token  string
		detail string // "" where it is accepted
	}{
		"good":                    {good, ""},
		"issued now":              {sign(t, key, headerRS256, goodClaims().with("iat", now)), ""},
		"another key":             {sign(t, newSigner(2048), headerRS256, goodClaims()), detail},
		"expired":                 {sign(t, key, headerRS256, goodClaims().with("exp", now)), lapsed},
		"issued in the future":    {sign(t, key, headerRS256, goodClaims().with("iat", now+30)), detail},
		"for a year":              {sign(t, key, headerRS256, goodClaims().with("exp", now+365*86400)), detail},
		"without an end":          {sign(t, key, headerRS256, goodClaims().with("exp", nil)), detail},
		"without a beginning":     {sign(t, key, headerRS256, goodClaims().with("iat", nil)), detail},
		"without an id":           {sign(t, key, headerRS256, goodClaims().with("jti", nil)), detail},
		"of another application":  {sign(t, key, headerRS256, goodClaims().with("application_id", newEventID())), detail},
		"RS512 in name":           {sign(t, key, `{"alg":"RS512","typ":"JWT"}`, goodClaims()), detail},
		"HS256 by the public key": {confused + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), detail},
		"none":                    {base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".", detail},
		"no signature":            {parts[0] + "." + parts[1], detail},
		"changed":                 {parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{}`)) + "." + parts[2], detail},
		"no JWT":                  {"x", detail},
	} {
		s := newV2(t, Config{Application: testApplication, PublicKey: publicPEM(key)})
		w := askBearer(s, "POST", "/v2/verify", test.token, oneStep(testNumber, ""))
		if test.detail == "" {
			if w.Code != 202 {
				t.Errorf("%s: got %d %s", name, w.Code, w.Body)
			}
			continue
		}
		title := "Unauthorized"
		if test.detail == lapsed {
			title = "You did not provide correct credentials."
		}
		wantProblem(t, name, w, 401, title, test.detail)
		if s.Accepted() != 0 {
			t.Errorf("%s: it was carried out", name)
		}
	}
}

func TestV2Credentials(t *testing.T) {
	key := testSigner()
	account, application := Config{APIKey: testKey, APISecret: testSecret}, Config{Application: testApplication, PublicKey: publicPEM(key)}
	both := application
	both.APIKey, both.APISecret = testKey, testSecret
	good := "Bearer " + sign(t, key, headerRS256, goodClaims())
	const right, wrong = "Basic right", "Basic wrong"
	for _, test := range []struct {
		name          string
		cfg           Config
		authorization string
		want          int
	}{
		{"nothing configured, none sent", Config{}, "", 401},
		{"nothing configured, Basic", Config{}, wrong, 202},
		{"nothing configured, Basic without a secret", Config{}, "Basic half", 401},
		{"nothing configured, Bearer", Config{}, "Bearer anything", 202},
		{"nothing configured, Bearer of nothing", Config{}, "Bearer ", 401},
		{"an account, right", account, right, 202},
		{"an account, wrong", account, wrong, 401},
		{"an account, none", account, "", 401},
		{"an account, Bearer", account, good, 401},
		{"an application, right", application, good, 202},
		{"an application, Basic", application, right, 401},
		{"both, Basic", both, right, 202},
		{"both, wrong Basic", both, wrong, 401},
		{"both, Bearer", both, good, 202},
		{"both, another scheme", both, "Digest x", 401},
	} {
		test.cfg.API = V2
		s, err := New(test.cfg)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("POST", "/v2/verify?api_key="+testKey+"&api_secret="+testSecret, strings.NewReader(oneStep(testNumber, "")))
		switch test.authorization {
		case right:
			r.SetBasicAuth(testKey, testSecret)
		case wrong:
			r.SetBasicAuth(testKey, "wrong")
		case "Basic half":
			r.SetBasicAuth(testKey, "")
		default:
			r.Header.Set("Authorization", test.authorization)
		}
		w := serve(s, r)
		if w.Code != test.want {
			t.Errorf("%s: got %d %s, want %d", test.name, w.Code, w.Body, test.want)
		}
		places := strings.Join(s.Calls()[0].Credentials, " ")
		want := strings.ToLower(strings.Fields(test.authorization + " none")[0])
		if (want == "basic" || want == "bearer" && test.authorization != "Bearer ") && places != want {
			t.Errorf("%s: recorded places %q", test.name, places)
		}
	}
}

func pemOf(kind, bytes string) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte(bytes)}))
}

// The errors name settings as the Caddyfile does.
func TestV2Settings(t *testing.T) {
	small := publicPEM(newSigner(1024))
	key := publicPEM(testSigner())
	for name, test := range map[string]struct {
		cfg  Config
		want string // in the error
	}{
		"unknown":               {Config{API: "v3"}, `api "v3"`},
		"twice":                 {Config{API: V1 + " " + V1}, `api "v1 v1"`},
		"no key":                {Config{API: V2, Application: testApplication}, "the public key of application is empty"},
		"no application":        {Config{API: V2, PublicKey: key}, "the id of application is empty"},
		"application of v1":     {Config{Application: testApplication, PublicKey: key}, "write api v2, or leave out application"},
		"no PEM":                {Config{API: V2, Application: testApplication, PublicKey: "key"}, "is not PEM: write what `openssl"},
		"a private key":         {Config{API: V2, Application: testApplication, PublicKey: pemOf("PRIVATE KEY", "x")}, "is the private one"},
		"an EC private key":     {Config{API: V2, Application: testApplication, PublicKey: pemOf("EC PRIVATE KEY", "x")}, "is the private one"},
		"a certificate":         {Config{API: V2, Application: testApplication, PublicKey: pemOf("CERTIFICATE", "x")}, "is PEM of another kind"},
		"a damaged key":         {Config{API: V2, Application: testApplication, PublicKey: pemOf("PUBLIC KEY", "x")}, "is damaged"},
		"a small key":           {Config{API: V2, Application: testApplication, PublicKey: small}, "2048"},
		"a dash in v2's code":   {Config{API: "v1 v2", Code: "12-34"}, "letters or digits"},
		"no signature secret":   {Config{API: V2, Webhook: "http://x"}, "the signature secret of webhook is empty"},
		"no webhook":            {Config{API: V2, SignatureSecret: "s"}, "the URL of webhook is empty"},
		"webhook of v1":         {Config{Webhook: "http://x", SignatureSecret: "s"}, "write api v2, or leave out webhook"},
		"webhook is no URL":     {Config{API: V2, Webhook: "x", SignatureSecret: "s"}, "the URL of webhook cannot be used"},
		"a dash in v1's, fine":  {Config{Code: "12-34"}, ""},
		"all in order":          {Config{API: V2, Application: testApplication, PublicKey: key, Code: "1234"}, ""},
		"both, the other order": {Config{API: "v2 v1"}, ""},
	} {
		_, err := New(test.cfg)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}
