package upstream

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const canary = "Cana/ry+S3cret&x"

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
