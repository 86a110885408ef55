package caddyverify

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/doctor"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
)

// checkCredentials looks at a key and its secret.
func (e *examination) checkCredentials(p *patient, which string, c *Credentials) (key string, secret upstream.Secret) {
	add := func(level doctor.Level, text, change string) {
		e.report.Add(doctor.Finding{Level: level, Check: which, Of: p.of, Text: text, Change: change})
	}
	if c != nil && c.literal() && len(c.APISecret) >= minSecret {
		e.report.Hide(upstream.NewSecret(c.APISecret))
	}
	err := c.check()
	var value string
	if err == nil {
		key, value, err = c.resolveFor(p.auth)
	}
	if err != nil {
		change := "`" + which + "`."
		written := ""
		if c != nil {
			written = c.APIKey + c.APISecret
		}
		switch {
		case strings.Contains(written, "{env."):
			change = "`" + which + "`, or set the variable; the doctor sees its own environment, so run it in the gateway's."
		case strings.Contains(written, "{file."):
			change = "`" + which + "`, or write the value into the file."
		}
		add(doctor.Fail, sentence(err), change)
		return "", secret
	}
	secret = upstream.NewSecret(value)
	e.report.Hide(secret)
	e.secrets = append(e.secrets, secret)
	fine := true
	if c.literal() {
		fine = false
		add(doctor.Warn, "the api_secret stands in the configuration, where the admin API and the autosave file show it.", "`"+which+"` with a placeholder, such as {file./run/secrets/vonage_api_secret}.")
	}
	if e.warnOfReaders(p.of, which, c.APISecret) && fine {
		add(doctor.OK, "both have values, which can be a key and a secret.", "")
	}
	return key, secret
}

// warnOfReaders tells of files of a secret that all may read. It reports whether there is none.
func (e *examination) warnOfReaders(of, which, written string) (fine bool) {
	fine = true
	for _, path := range filesOf(written) {
		if mode, may := readByAll(path); may {
			fine = false
			e.report.Add(doctor.Finding{
				Level: doctor.Warn, Check: which, Of: of,
				Text:   fmt.Sprintf("every user of this host may read %s (mode %04o).", path, mode),
				Change: "chmod o-r " + path + "; the gateway's user must own it or be in its group.",
			})
		}
	}
	return fine
}

// checkPrivateKey looks at the key of an application.
func (e *examination) checkPrivateKey(p *patient) (key upstream.Secret) {
	add := func(level doctor.Level, text, change string) {
		e.report.Add(doctor.Finding{Level: level, Check: "private_key", Of: p.of, Text: text, Change: change})
	}
	if err := cmp.Or(p.checkApplication(), p.checkPrivateKey()); err != nil {
		add(doctor.Fail, sentence(err), "`application` and `private_key`.")
		return key
	}
	pem, err := p.resolvePrivateKey()
	if err != nil {
		add(doctor.Fail, sentence(err), "`private_key`, or write the application's key into the file.")
		return key
	}
	key = upstream.NewSecret(pem)
	e.report.Hide(key)
	e.secrets = append(e.secrets, key)
	fine := e.warnOfReaders(p.of, "private_key", p.PrivateKey)
	if !placeholder.MatchString(p.PrivateKey) {
		fine = false
		add(doctor.Warn, "it stands in the configuration, where the admin API and the autosave file show it.", privateKeyExample+".")
	}
	if fine {
		add(doctor.OK, "it can sign for the application.", "")
	}
	return key
}

// checkSignatureSecret looks at what webhooks are signed with. Nothing but a webhook shows
// whether it is the provider's.
func (e *examination) checkSignatureSecret(p *patient) {
	e.checkSigner(p.of, "signature_secret", p.SignatureSecret, p.resolveSignatureSecret,
		"`signature_secret` with a placeholder, such as {file./run/secrets/vonage_signature_secret}.")
}

// checkRelays looks at what webhooks are signed with on their way to applications. It reports
// whether the settings can be used as far as it sees.
func (e *examination) checkRelays(webhooks []json.RawMessage) bool {
	before := e.report.Count(doctor.Fail)
	type owned struct {
		*Relay
		of string
	}
	var relays []*owned
	for _, written := range webhooks {
		h := new(Webhook)
		if err := json.Unmarshal(written, h); err != nil {
			e.report.Add(doctor.Finding{Level: doctor.Fail, Check: "configuration", Of: "verify_webhook", Text: "its settings are not such as `verify_webhook` has: " + sentence(err), Change: "what the sentence names."})
			continue
		}
		for _, one := range h.Relays {
			relays = append(relays, &owned{one, one.Caller})
		}
	}
	name(relays, func(one *owned) *string { return &one.of })
	for _, one := range relays {
		e.checkSigner(one.of, "relay", one.Secret, one.resolveSecret, relayExample+".")
	}
	return e.report.Count(doctor.Fail) == before
}

// checkSigner looks at a secret that signs, as it is written and as it is read.
func (e *examination) checkSigner(of, check, written string, resolve func() (string, error), example string) {
	literal := !placeholder.MatchString(written)
	if literal && len(written) >= minSecret {
		e.report.Hide(upstream.NewSecret(written))
	}
	secret, err := resolve()
	if err != nil {
		e.report.Add(doctor.Finding{Level: doctor.Fail, Check: check, Of: of, Text: sentence(err), Change: "`" + check + "`, or write the secret into its file."})
		return
	}
	hidden := upstream.NewSecret(secret)
	e.report.Hide(hidden)
	e.secrets = append(e.secrets, hidden)
	fine := e.warnOfReaders(of, check, written)
	switch {
	case literal:
		e.report.Add(doctor.Finding{Level: doctor.Warn, Check: check, Of: of, Text: "it stands in the configuration, where the admin API and the autosave file show it.", Change: example})
	case fine:
		e.report.Add(doctor.Finding{Level: doctor.OK, Check: check, Of: of, Text: "it has a value, which can be a secret."})
	}
}

// readByAll tells whether every user of this host may read a file: its mode lets them, and
// so do the folders that it is in.
func readByAll(path string) (mode os.FileMode, may bool) {
	path, err := filepath.EvalSymlinks(path)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	info, statErr := os.Stat(path)
	if err != nil || statErr != nil {
		return 0, false
	}
	mode = info.Mode().Perm()
	may = mode&0o004 != 0
	for above := filepath.Dir(path); may; above = filepath.Dir(above) {
		folder, err := os.Stat(above)
		may = err == nil && folder.Mode().Perm()&0o001 != 0
		if above == filepath.Dir(above) {
			break
		}
	}
	return mode, may
}
