package caddyverify

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/goleak"
)

// rotating is an upstream that takes the secrets which are valid at the moment.
type rotating struct {
	*httptest.Server
	mu     sync.Mutex
	valid  map[string]bool // Authorization headers
	seen   string          // the last one
	calls  int
	strays []string
}

func newRotating(t *testing.T, valid ...string) *rotating {
	t.Helper()
	u := new(rotating)
	u.accept(valid...)
	u.Server = httptest.NewServer(u)
	t.Cleanup(u.Close)
	return u
}

func authorization(secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(testKey+":"+secret))
}

func (u *rotating) accept(secrets ...string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.valid = map[string]bool{}
	for _, secret := range secrets {
		u.valid[authorization(secret)] = true
	}
}

func (u *rotating) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.calls++
	u.seen = r.Header.Get("Authorization")
	w.Header().Set("Content-Type", "application/json")
	if !u.valid[u.seen] {
		u.strays = append(u.strays, u.seen)
		fmt.Fprint(w, `{"status":"4","error_text":"Bad Credentials"}`)
		return
	}
	fmt.Fprint(w, `{"status":"101","error_text":"No response found"}`)
}

// rotatingGateway serves a handler whose secret is in a file, and without memory.
func rotatingGateway(t *testing.T, u *rotating, path string) *httptest.Server {
	t.Helper()
	return newGateway(t, &Handler{
		Account: Account{
			Upstream: u.URL, Cache: &Cache{Off: true},
			Credentials: &Credentials{APIKey: testKey, APISecret: "{file." + path + "}"},
		},
	})
}

func ask(t *testing.T, url, id string) string {
	t.Helper()
	return get(t, url+"/verify/search/json?request_id="+id).field("status")
}

// put writes a file as a rotation does, whole.
func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// until asks until calls are made with a secret.
func (u *rotating) until(t *testing.T, url, secret string) {
	t.Helper()
	for t.Context().Err() == nil {
		if status := ask(t, url, "a"); status != "101" {
			t.Fatalf("a call is answered with status %s", status)
		}
		u.mu.Lock()
		seen := u.seen
		u.mu.Unlock()
		if seen == authorization(secret) {
			return
		}
	}
}

// leavesNothing returns what waits until the goroutines that begin from now on have ended, as long as a busy machine may take.
func leavesNothing(t *testing.T, options ...goleak.Option) func() {
	t.Helper()
	options = append(options, goleak.IgnoreCurrent())
	return func() {
		t.Helper()
		err := goleak.Find(options...)
		for ended := time.Now(); err != nil && time.Since(ended) < time.Minute; {
			err = goleak.Find(options...)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// TestHundredSecrets rotates a secret a hundred times while calls are made, as operators
// do: the provider takes a second one, it goes into the file, the first is revoked when no
// call has it any more.
func TestHundredSecrets(t *testing.T) {
	defer leavesNothing(t)()
	t.Run("", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "secret")
		secret := func(n int) string { return fmt.Sprintf("S3cret-number-%d", n) }
		put(t, path, secret(0))
		u := newRotating(t, secret(0))
		server := rotatingGateway(t, u, path)
		var stop atomic.Bool
		var calls sync.WaitGroup
		var underWay sync.RWMutex
		for worker := range 4 {
			calls.Go(func() {
				for n := 0; !stop.Load(); n++ {
					underWay.RLock()
					status := ask(t, server.URL, fmt.Sprintf("%d-%d", worker, n))
					underWay.RUnlock()
					if status != "101" {
						t.Errorf("a call is answered with status %s", status)
						stop.Store(true)
					}
				}
			})
		}
		swaps := 100
		if testing.Short() {
			swaps = 10
		}
		for n := 0; n < swaps && !stop.Load(); n++ {
			u.accept(secret(n), secret(n+1))
			put(t, path, secret(n+1))
			u.until(t, server.URL, secret(n+1))
			underWay.Lock()
			u.accept(secret(n + 1))
			underWay.Unlock()
		}
		stop.Store(true)
		calls.Wait()
		http.DefaultClient.CloseIdleConnections()
		u.mu.Lock()
		defer u.mu.Unlock()
		if len(u.strays) > 0 {
			t.Errorf("calls were made with %q", u.strays)
		}
		t.Logf("%d calls, %d secrets", u.calls, swaps)
	})
}

// TestNewSecretInItsFile has all that may become of the files while Caddy runs, in a
// volume of Kubernetes, where all files of a version are swapped at once.
func TestNewSecretInItsFile(t *testing.T) {
	for _, name := range []string{"XDG_DATA_HOME", "XDG_CONFIG_HOME"} {
		t.Setenv(name, t.TempDir())
	}
	folder, version := t.TempDir(), 0
	mount := func(files map[string]string) {
		t.Helper()
		version++
		now := fmt.Sprintf("..version_%d", version)
		if err := os.Mkdir(filepath.Join(folder, now), 0o700); err != nil {
			t.Fatal(err)
		}
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(folder, now, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(now, filepath.Join(folder, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(folder, "..data_tmp"), filepath.Join(folder, "..data")); err != nil {
			t.Fatal(err)
		}
		if version > 1 {
			if err := os.RemoveAll(filepath.Join(folder, fmt.Sprintf("..version_%d", version-1))); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range []string{"key", "secret", "next"} {
		if err := os.Symlink("..data/"+name, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	const first, second, third, fourth = "First-S3cret-of-all", "Second-S3cret-of-all", "Third-S3cret-of-all", "Fourth-S3cret-of-all"
	mount(map[string]string{"key": testKey, "secret": first, "next": second + "\n"})
	u := newRotating(t, first)
	site := freeAddress(t)
	option, logged := logFile(t)
	config, err := adaptCaddyfile("{\nadmin off\npersist_config off\n" + option + "}\n" +
		"http://" + site + " {\nverify {\nupstream " + u.URL + "\ncache off\ncredentials {file." + folder + "/key} {file." + folder + "/secret}\n" +
		"next_credentials {file." + folder + "/key} {file." + folder + "/next}\n}\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	if err := loadConfig(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	url := "http://" + site
	u.until(t, url, first)
	u.accept(second, third, fourth)
	u.until(t, url, second) // takes over by itself
	logs := func(words string) {
		t.Helper()
		for !strings.Contains(logged(), words) {
			if t.Context().Err() != nil {
				t.Fatalf("not logged: %s", logged())
			}
		}
	}
	logs(`"secret switched"`)
	if strings.Contains(logged(), "account trouble changed") {
		t.Errorf("logged: %s", logged())
	}
	u.mu.Lock()
	strays := len(u.strays)
	u.mu.Unlock()
	if err := loadConfig(config); err != nil {
		t.Fatal(err)
	}
	served(t, url+"/verify/search/json?request_id=a") // over a new connection
	u.until(t, url, second)
	u.mu.Lock()
	if len(u.strays) != strays {
		t.Error("a reload went back to the first secret, which is refused")
	}
	u.mu.Unlock()
	for _, step := range []struct {
		name   string
		files  map[string]string
		logs   string
		secret string
	}{
		{"a new first one", map[string]string{"key": testKey, "secret": third + "\n", "next": second}, `"secret replaced"`, third},
		{"half of it", map[string]string{"key": testKey, "secret": "Four", "next": second}, "is shorter than 6 characters", third},
		{"nothing in it", map[string]string{"key": testKey, "secret": "", "next": second}, "the file is empty", third},
		{"no secret", map[string]string{"key": testKey, "secret": "{{.Secret}}", "next": second}, "has braces left over", third},
		{"gone", map[string]string{"key": testKey, "next": second}, "there is no such file", third},
		{"another account", map[string]string{"key": "ffffff01", "secret": fourth, "next": second}, "is another than when the configuration was loaded", third},
		{"a second one that is none", map[string]string{"key": testKey, "secret": fourth, "next": "a b"}, "next_credentials: api_secret, from {file." + folder + "/next}, has white space", fourth},
		{"the same twice", map[string]string{"key": testKey, "secret": third, "next": third}, "has the same api_secret as credentials", third},
	} {
		t.Run(step.name, func(t *testing.T) {
			mount(step.files)
			logs(step.logs)
			u.until(t, url, step.secret)
		})
	}
	for _, secret := range []string{first, second, third, fourth, "Four\"", ".Secret"} {
		expectAbsent(t, "log", logged(), secret)
	}
}

// TestNewSecretWhileDraining: where version 2 is called with a key, the secret for what version 1 has under way is read anew like the
// key, and neither keeps back the other.
func TestNewSecretWhileDraining(t *testing.T) {
	private, _ := applicationKey()
	another, _ := newApplicationKey()
	path := t.TempDir()
	secret, key := filepath.Join(path, "secret"), filepath.Join(path, "key")
	const first, second, third = "First-S3cret-of-all", "Second-S3cret-of-all", "Third-S3cret-of-all"
	put(t, secret, first)
	put(t, key, private)
	u := newRotating(t, first, second, third)
	server := newGateway(t, &Handler{
		Account: Account{
			API: apiV2, Drain: apiV1, Application: testApplication, PrivateKey: "{file." + key + "}",
			Upstream: u.URL, Cache: &Cache{Off: true},
			Credentials: &Credentials{APIKey: testKey, APISecret: "{file." + secret + "}"},
		},
	})
	token := func() string {
		if status := get(t, server.URL+"/verify/json?brand=Acme&number="+testNumber).field("status"); status != "5" { // this upstream knows no version 2
			t.Fatalf("a request is answered with status %s", status)
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		return u.seen
	}
	u.until(t, server.URL, first)
	put(t, secret, second)
	u.until(t, server.URL, second)
	put(t, key, "no key")
	put(t, secret, third)
	u.until(t, server.URL, third)
	put(t, secret, "")
	before := token()
	put(t, key, another)
	for token() == before {
		if t.Context().Err() != nil {
			t.Fatal("a new key is not in use")
		}
	}
	u.until(t, server.URL, third)
}

func TestNextCredentials(t *testing.T) {
	for _, test := range []struct{ name, next, want string }{
		{"another account", "next_credentials ffffff01 An0ther-secret", "next_credentials: its api_key is not that of credentials"},
		{"one argument", "next_credentials An0ther-secret", "next_credentials takes two arguments: next_credentials <api_key> <api_secret>"},
		{"impossible", `next_credentials ` + testKey + ` "An0ther secret"`, "next_credentials: api_secret has white space"},
		{"too short", "next_credentials " + testKey + " {env.VERIFY_TEST_SHORT}", "next_credentials: api_secret, from {env.VERIFY_TEST_SHORT}, is shorter"},
		{"good", "next_credentials " + testKey + " An0ther-secret", ""},
		{"the same", "next_credentials " + testKey + " S3cret-of-a-test", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("VERIFY_TEST_SHORT", "abc")
			option, logged := logFile(t)
			err := load("{\n" + option + "}\n:0 {\nverify {\ncredentials " + testKey + " S3cret-of-a-test\n" + test.next + "\n}\n}\n")
			if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("the load ends with %v, want %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "An0ther") {
				t.Errorf("the error shows the secret: %v", err)
			}
			if warned := err == nil && strings.Contains(logged(), "has the same api_secret as credentials"); warned != (test.name == "the same") {
				t.Errorf("it warns: %v", warned)
			}
		})
	}
}
