package caddyverify

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"
)

// loadJSON does what caddy validate does with a handler in JSON.
func loadJSON(t *testing.T, handler map[string]any) error {
	t.Helper()
	handler["handler"] = "verify"
	text, err := json.Marshal(map[string]any{"apps": map[string]any{"http": map[string]any{"servers": map[string]any{
		"a": map[string]any{"listen": []string{"127.0.0.1:0"}, "routes": []any{map[string]any{"handle": []any{handler}}}},
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	var config caddy.Config
	if err := caddy.StrictUnmarshalJSON(text, &config); err != nil {
		return err
	}
	return caddy.Validate(&config)
}

// TestImprobableCredentials has values that can be no key and no secret, in either
// place, by each way that a value takes.
func TestImprobableCredentials(t *testing.T) {
	const good = "S3cretSecretSecret"
	values := []struct{ name, value, want string }{
		{"a byte order mark", "\ufeffABCDEFGH", "byte order mark"},
		{"one of UTF-16", "\xff\xfeA\x00B\x00C\x00D\x00E\x00F\x00", "byte order mark"},
		{"a blank before", " ABCDEFGH", "white space"},
		{"a blank after", "ABCDEFGH ", "white space"},
		{"a blank within", "ABCD EFGH", "white space"},
		{"a tabulator", "ABCD\tEFGH", "white space"},
		{"two line breaks after", "ABCDEFGH\n\n", "white space"},
		{"a second line", "ABCDEFGH\nIJKLMNOP", "white space"},
		{"a no-break space", "ABCDEFGH\u00a0", "white space"},
		{"a control character", "ABCD\x07EFGH", "control character"},
		{"a letter that is not ASCII", "ABCDÖEFGH", "not ASCII"},
		{"bytes that are no text", "ABCD\xf6EFGH", "not ASCII"},
		{"a zero-width space", "ABCD\u200bEFGH", "not ASCII"},
		{"quotes", `"ABCDEFGH"`, "quotes"},
		{"single quotes", `'ABCDEFGH'`, "quotes"},
		{"an assignment", "VONAGE_API_SECRET=ABCDEFGH", "NAME=value"},
		{"an exported one", "export SECRET=ABCDEFGH", "NAME=value"},
		{"a shell's variable", "$ABCDEFGH", "begins with $"},
		{"a Windows variable", "%ABCDEFGH%", "begins with %"},
		{"a blank to fill in", "<ABCDEFGH>", "begins with <"},
		{"a template", "{{ABCDEFGH}}", "template"},
		{"a template with blanks", "{{.ABCDEFGH}}", "template"},
		{"half a template", "ABCDEFGH}", "template"},
		{"a private key", strings.Repeat("ABCDEFGH", 9), "longer than"},
	}
	for i, which := range []string{"api_key", "api_secret"} {
		for _, test := range values {
			t.Run(which+" with "+test.name, func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "file")
				if err := os.WriteFile(file, []byte(test.value+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				from := map[string]string{"a file": "{file." + file + "}"}
				if utf8.ValidString(test.value) { // as JSON is
					from["the configuration"] = test.value
				}
				if strings.IndexByte(test.value, 0) < 0 { // which no variable can have
					t.Setenv("VERIFY_TEST_VALUE", test.value)
					from["a variable"] = "{env.VERIFY_TEST_VALUE}"
				}
				for where, written := range from {
					pair := []string{good, good}
					pair[i] = written
					err := loadJSON(t, map[string]any{"credentials": map[string]string{"api_key": pair[0], "api_secret": pair[1]}})
					if err == nil {
						t.Fatalf("from %s it was accepted", where)
					}
					if !strings.Contains(err.Error(), test.want) && (where != "the configuration" || !strings.Contains(err.Error(), "braces")) {
						t.Errorf("from %s: %v", where, err)
					}
					if !strings.Contains(err.Error(), "credentials: "+which) || where != "the configuration" && !strings.Contains(err.Error(), written) {
						t.Errorf("from %s the error does not say which and whence: %v", where, err)
					}
					for _, shown := range []string{"ABCD", "EFGH", good} {
						if strings.Contains(err.Error(), shown) {
							t.Errorf("from %s the error shows the value: %v", where, err)
						}
					}
				}
			})
		}
	}
	for _, auth := range []string{"basic", "query", "body"} {
		err := loadJSON(t, map[string]any{"auth": auth, "credentials": map[string]string{"api_key": "ab:cd", "api_secret": good}})
		if refused := err != nil && strings.Contains(err.Error(), "api_key has a colon"); refused != (auth == "basic") {
			t.Errorf("a colon in the key with auth %s: %v", auth, err)
		}
	}
	for _, secret := range []string{"aB3$%<=:;'\"`\\/", "0123456789abcdefABCDEF~!@#", "abc\n", "a-bc_d.e"} {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, []byte(secret+strings.Repeat("x", 8)+"\r\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		err := loadJSON(t, map[string]any{"credentials": map[string]string{"api_key": "abcd1234", "api_secret": "{file." + file + "}"}})
		if (err != nil) != strings.Contains(secret, "\n") {
			t.Errorf("%q: %v", secret, err)
		}
	}
}

// TestPlaceholdersWithoutValue has each way to write a placeholder that gives nothing.
func TestPlaceholdersWithoutValue(t *testing.T) {
	folder := t.TempDir()
	file := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return "{file." + path + "}"
	}
	t.Setenv("VERIFY_TEST_EMPTY", "")
	tests := []struct{ name, written, want string }{
		{"no such file", "{file." + folder + "/nothing}", "there is no such file"},
		{"no such file here", "{file.nothing_of_a_test}", "there is no such file in "},
		{"an empty file", file("empty", "", 0o600), "the file is empty"},
		{"a file with a line break", file("line", "\n", 0o600), "the file is empty"},
		{"a directory", "{file." + folder + "}", "it is a directory"},
		{"a path through a file", strings.Replace(file("plain", "x", 0o600), "}", "/x}", 1), "the file cannot be read"},
		{"an unset variable", "{env.VERIFY_TEST_UNSET}", "the environment variable is not set"},
		{"an empty variable", "{env.VERIFY_TEST_EMPTY}", "set to nothing"},
		{"a part of it", "abc{env.VERIFY_TEST_UNSET}", "the environment variable is not set"},
		{"no kind", "{VERIFY_TEST_SECRET}", "write {env.NAME}"},
		{"a shell's form", "${VERIFY_TEST_SECRET}", "form of a shell"},
		{"a Caddyfile's form", "{$VERIFY_TEST_SECRET}", "known in a Caddyfile alone"},
		{"a file by its name alone in a site", "{http.request.uri.path.file.secret}", "write the file's whole path, for example {file./run/secrets/secret}"},
		{"such a one and more", "{http.request.uri.path.file.a}the-rest-of-it", "only {env.NAME} and {file./path}"},
		{"one of a request", "{http.request.header.Secret}", "only {env.NAME} and {file./path}"},
		{"nothing", "", "is empty"},
	}
	if os.Getuid() != 0 {
		tests = append(tests, struct{ name, written, want string }{"a file of somebody else", file("closed", "x", 0), "may not read the file"})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := loadJSON(t, map[string]any{"upstream": "https://api.example.com", "credentials": map[string]string{"api_key": "abcd1234", "api_secret": test.written}})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("the error is %v, want %q", err, test.want)
			}
			for _, part := range []string{"handler with upstream https://api.example.com: credentials: api_secret", strings.TrimPrefix(test.written, "abc")} {
				if !strings.Contains(err.Error(), part) && (placeholder.MatchString(part) || strings.HasPrefix(part, "handler")) {
					t.Errorf("the error does not have %q: %v", part, err)
				}
			}
		})
	}
}

// TestDurationsInJSON has numbers without a unit, which count nanoseconds.
func TestDurationsInJSON(t *testing.T) {
	with := func(settings map[string]any) error {
		settings["credentials"] = map[string]string{"api_key": "abcd1234", "api_secret": "S3cretSecretSecret"}
		return loadJSON(t, settings)
	}
	for setting, settings := range map[string]map[string]any{
		"timeout":        {"timeout": 10},
		"open_for":       {"breaker": map[string]any{"open_for": 5}},
		"window":         {"breaker": map[string]any{"window": 30}},
		"in_progress":    {"cache": map[string]any{"in_progress": 2}},
		"settling":       {"cache": map[string]any{"settling": 60}},
		"final":          {"cache": map[string]any{"final": 86400}},
		"not_found":      {"cache": map[string]any{"not_found": 1}},
		"stale_if_error": {"cache": map[string]any{"stale_if_error": 300}},
	} {
		if err := with(settings); err == nil || !strings.Contains(err.Error(), setting+": it is ") || !strings.Contains(err.Error(), "counts nanoseconds") {
			t.Errorf("%v: %v", settings, err)
		}
	}
	for _, settings := range []map[string]any{
		{"timeout": "-1s"}, {"breaker": map[string]any{"open_for": "-1s"}}, {"timeout": "10m"},
	} {
		if err := with(settings); err == nil || strings.Contains(err.Error(), "nanoseconds") {
			t.Errorf("%v: %v", settings, err)
		}
	}
	if err := with(map[string]any{"timeout": "100ms", "breaker": map[string]any{"open_for": "1m"}, "cache": map[string]any{"final": -1, "in_progress": "1h"}}); err != nil {
		t.Error(err)
	}
}
