package upstream

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
)

const canary = "Cana/ry+S3cret&x"

func TestSecretIsFound(t *testing.T) {
	secret := NewSecret(canary)
	var escaped strings.Builder
	for _, r := range canary {
		fmt.Fprintf(&escaped, `\u%04X`, r)
	}
	var entities bytes.Buffer
	if err := xml.EscapeText(&entities, []byte(canary)); err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{
		"plain":                `{"a":"` + canary + `"}`,
		"percent":              "api_secret=" + url.QueryEscape(canary),
		"percent, lower case":  "api_secret=" + strings.ToLower(url.QueryEscape("/+")) + canary,
		"JSON":                 `{"a":"` + strings.ReplaceAll(canary, "/", `\/`) + `"}`,
		"JSON, all escaped":    `{"a":"` + escaped.String() + `"}`,
		"XML":                  "<a>" + entities.String() + "</a>",
		"hexadecimal":          hex.EncodeToString([]byte(canary)),
		"after broken escapes": `%zz \u12 &; ` + url.QueryEscape(canary) + `%4`,
	}
	for lead := range 4 {
		for tail := range 4 {
			text := strings.Repeat("k", lead) + canary + strings.Repeat(":", tail)
			texts[fmt.Sprintf("Base64 of %q", text)] = base64.StdEncoding.EncodeToString([]byte(text))
			texts[fmt.Sprintf("URL Base64 of %q", text)] = base64.RawURLEncoding.EncodeToString([]byte(text))
		}
	}
	for name, text := range texts {
		if !secret.In([]byte(text)) {
			t.Errorf("%s: not found in %s", name, text)
		}
	}
	for _, text := range []string{"", "Cana", `{"status":"0"}`, strings.ToLower(canary), `%41\u0041&amp;`} {
		if secret.In([]byte(text)) {
			t.Errorf("found in %q", text)
		}
	}
}

func TestSecretIsNotPrinted(t *testing.T) {
	secret := NewSecret(canary)
	config := Config{Key: "key", Secret: secret}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p"} {
		fmt.Fprintf(&out, verb+" "+verb+" "+verb+"\n", secret, &secret, config)
	}
	fmt.Fprintln(&out, secret, []any{secret}, map[string]any{"s": secret})
	for _, value := range []any{secret, &secret, config.Secret, map[string]any{"s": secret}} {
		encoded, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(encoded)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("text", "s", secret, "p", &secret, "c", config)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("json", "s", secret, "p", &secret)
	for _, form := range secret.forms {
		if bytes.Contains(out.Bytes(), form) {
			t.Errorf("the secret is printed as %s in\n%s", form, out.String())
		}
	}
	if !strings.Contains(out.String(), redacted) {
		t.Error("nothing says that something is left out")
	}
}
