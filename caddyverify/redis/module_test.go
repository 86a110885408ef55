package redis

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

func parse(t *testing.T, text string) (*Store, error) {
	t.Helper()
	d := caddyfile.NewTestDispenser("store " + text)
	d.Next() // store
	d.Next() // redis
	module, err := caddyfile.UnmarshalModule(d, "verify.stores.redis")
	if err != nil {
		return nil, err
	}
	return module.(*Store), nil
}

func TestCaddyfile(t *testing.T) {
	t.Setenv("STORE_KEY", encryptionKey)
	got, err := parse(t, `redis {
		address        one:6379 two
		tls            /etc/ca.pem
		username       {env.STORE_USER}
		password       {env.STORE_PASSWORD}
		db             2
		prefix         shop
		encryption_key {env.STORE_KEY} {env.OLD_STORE_KEY}
	}`)
	want := &Store{
		Addresses: []string{"one:6379", "two"}, TLS: &TLS{CA: "/etc/ca.pem"},
		Username: "{env.STORE_USER}", Password: "{env.STORE_PASSWORD}", DB: 2, Prefix: "shop",
		EncryptionKeys: []string{"{env.STORE_KEY}", "{env.OLD_STORE_KEY}"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	text, _ := json.Marshal(got) //nolint:gosec // its secrets are placeholders
	back := new(Store)
	if err := json.Unmarshal(text, back); err != nil || !reflect.DeepEqual(back, want) {
		t.Errorf("by way of JSON: %s, %v", text, err)
	}
}

func TestNull(t *testing.T) {
	for text, want := range map[string]string{
		`{"addresses":["one"],"tls":null}`: "tls: it is null",
		`{"tls":{"ca":null}}`:              "",
		`{"tsl":{}}`:                       "tsl",
		`null`:                             "",
		`[]`:                               "braces",
		`{"tls":{},"db":1}`:                "",
	} {
		err := new(Store).UnmarshalJSON([]byte(text))
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestCaddyfileErrors(t *testing.T) {
	const needed = "address redis:6379\nencryption_key {env.STORE_KEY}\n"
	for _, tt := range []struct{ name, text, want string }{
		{"an argument", "redis here {\n" + needed + "}", "takes a block in braces"},
		{"no address", "redis {\nencryption_key {env.STORE_KEY}\n}", "store redis needs address"},
		{"no encryption key", "redis {\naddress redis:6379\n}", "store redis needs encryption_key"},
		{"nothing", "redis", "store redis needs address"},
		{"an empty variable", "redis {\naddress\n}", "address takes at least one argument"},
		{"an empty argument", "redis {\naddress \"\"\n}", "address takes at least one argument"},
		{"twice", "redis {\n" + needed + "address other:6379\n}", "address is given more than once"},
		{"unknown", "redis {\n" + needed + "sentinel mymaster\n}", `unrecognized subdirective of store redis "sentinel"; there are address, tls,`},
		{"a secret in a place of its own", "redis {\n" + needed + "hunter2!hunter2\n}", "a line begins with what is no subdirective"},
		{"two passwords", "redis {\n" + needed + "password hunter2 hunter2!\n}", "password takes one argument"},
		{"db", "redis {\n" + needed + "db -1\n}", "db: write a whole number"},
		{"tls", "redis {\n" + needed + "tls a b\n}", "tls takes one argument"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(t, tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error: %v, want %q", err, tt.want)
			}
		})
	}
}

func TestProvisionErrors(t *testing.T) {
	t.Setenv("STORE_KEY", encryptionKey)
	t.Setenv("SHORT", "hunter2")
	t.Setenv("BROKEN", "hunter2\n")
	noPEM := filepath.Join(t.TempDir(), "no.pem")
	if err := os.WriteFile(noPEM, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*Store)
		want   string
	}{
		{"no address", func(s *Store) { s.Addresses = nil }, "address is missing"},
		{"a URL", func(s *Store) { s.Addresses = []string{"redis://u:hunter2@redis:6379"} }, "address: one is not host:port"},
		{"a port alone", func(s *Store) { s.Addresses = []string{":6379"} }, "address: one is not host:port"},
		{"no port", func(s *Store) { s.Addresses = []string{"redis:hunter2"} }, "address: one is not host:port"},
		{"a port too high", func(s *Store) { s.Addresses = []string{"redis:65536"} }, "address: one is not host:port"},
		{"twice", func(s *Store) { s.Addresses = []string{"redis", "redis:6379"} }, "redis:6379 is given twice"},
		{"a user alone", func(s *Store) { s.Username = "me" }, "there is no password"},
		{"a password that is not there", func(s *Store) { s.Password = "{env.NOT_SET}" }, "password: {env.NOT_SET} has no value"},
		{"a file that is not there", func(s *Store) { s.Password = "{file./not/there}" }, "password: {file./not/there} has no value"},
		{"a line break", func(s *Store) { s.Password = "{env.BROKEN}" }, "password: the value begins or ends with white space"},
		{"a database in a cluster", func(s *Store) { s.Addresses, s.DB = []string{"a", "b"}, 1 }, "db: 1"},
		{"a prefix", func(s *Store) { s.Prefix = "{shop}" }, "prefix:"},
		{"no certificates", func(s *Store) { s.TLS = &TLS{CA: noPEM} }, "no certificate in PEM"},
		{"no file of certificates", func(s *Store) { s.TLS = &TLS{CA: noPEM + ".not"} }, "no such file"},
		{"no encryption key", func(s *Store) { s.EncryptionKeys = nil }, "encryption_key is missing"},
		{"a short encryption key", func(s *Store) { s.EncryptionKeys = []string{"{env.SHORT}"} }, "fewer than 32 characters; make one with: openssl rand -base64 32"},
		{"the same twice", func(s *Store) { s.EncryptionKeys = []string{"{env.STORE_KEY}", "{env.STORE_KEY}"} }, "encryption key 2 is one of those before it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &Store{Addresses: []string{"redis"}, EncryptionKeys: []string{"{env.STORE_KEY}"}}
			tt.change(s)
			err := s.Provision(caddy.Context{})
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error: %v, want %q", err, tt.want)
			}
			if err := s.Cleanup(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestProvisionWaitsForNobody has an address at which nobody answers, and one at which
// somebody accepts and says nothing.
func TestProvisionWaitsForNobody(t *testing.T) {
	t.Setenv("STORE_KEY", encryptionKey)
	mute := listenMute(t)
	fastest := map[string]time.Duration{}
	for i := range 40 { // a busy machine takes its time, though not each time; who waits does it each time
		address := "127.0.0.1:1"
		if i%2 > 0 {
			address = mute
		}
		s := &Store{Addresses: []string{address}, EncryptionKeys: []string{"{env.STORE_KEY}"}}
		start := time.Now()
		if err := s.Provision(caddy.Context{}); err != nil {
			t.Fatal(err)
		}
		shared, done, err := s.Open("account", "gateway")
		if err != nil {
			t.Fatal(err)
		}
		if err := shared.Leave(t.Context()); err == nil {
			t.Error("nobody answers, and there is no error")
		}
		done()
		if err := s.Cleanup(); err != nil {
			t.Error(err)
		}
		if took, known := fastest[address]; !known || time.Since(start) < took {
			fastest[address] = time.Since(start)
		}
	}
	for address, took := range fastest {
		if took > 150*time.Millisecond {
			t.Errorf("%s: it took %v", address, took)
		}
	}
}

// TestReload keeps the connection and what was opened while the settings come to the same, and
// for as long as somebody uses it, who may be told of the end last. What nobody uses ends.
func TestReload(t *testing.T) {
	server := newServer(t)
	t.Setenv("STORE_KEY", encryptionKey)
	t.Setenv("OTHER_KEY", encryptionKey)
	provision := func(key string) *Store {
		t.Helper()
		s := &Store{Addresses: []string{server.address()}, EncryptionKeys: []string{key}}
		if err := s.Provision(caddy.Context{}); err != nil {
			t.Fatal(err)
		}
		return s
	}
	open := func(s *Store, account string) (*store.Shared, func()) {
		t.Helper()
		shared, done, err := s.Open(account, "gateway")
		if err != nil {
			t.Fatal(err)
		}
		return shared, done
	}
	one := provision("{env.STORE_KEY}")
	shared, done := open(one, "account")
	gone, goneDone := open(one, "one that the next does not have")
	two := provision("{env.OTHER_KEY}")
	again, againDone := open(two, "account")
	if again != shared {
		t.Error("the next configuration has another store")
	}
	if err := one.Cleanup(); err != nil {
		t.Fatal(err)
	}
	eventually(t, back, "heard", func() bool { return gone.Watching() })
	done()
	goneDone()
	eventually(t, back, "the end of what nobody uses", func() bool { return !gone.Watching() })
	eventually(t, back, "connected", func() bool { return shared.Watching() })
	t.Setenv("STORE_KEY", encryptionKey+" changed")
	three := provision("{env.STORE_KEY}")
	other, otherDone := open(three, "account")
	if other == shared {
		t.Error("another encryption key has the same store")
	}
	otherDone()
	for _, s := range []*Store{two, three} {
		if err := s.Cleanup(); err != nil {
			t.Error(err)
		}
	}
	if _, err := retry(func() (struct{}, error) { return struct{}{}, shared.Leave(t.Context()) }); err != nil {
		t.Errorf("it ends while it is in use: %v", err)
	}
	againDone()
	admin := server.admin()
	eventually(t, back, "disconnected", func() bool {
		clients, err := admin.Do(t.Context(), admin.B().ClientList().Build()).ToString()
		return err == nil && !strings.Contains(clients, "caddy-verify")
	})
}
