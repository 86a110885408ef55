package caddyverify

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/watch"
)

const literalSecret = "the api_secret stands in the configuration, where the admin API and the autosave file show it; write a placeholder in its place, for example " + exampleCredentials

// rotation is what a handler knows of its credentials while it runs. One call at a time
// uses it.
type rotation struct {
	auth   upstream.Auth
	key    string
	first  string // or the private key
	next   string // "" for none
	drain  string // the secret for verifications of v1, where that is not first
	warned map[string]bool
	stop   func() // nil where no file is watched
}

// readCredentials does so when the configuration is loaded.
func (h *Handler) readCredentials(auth upstream.Auth) error {
	r := rotation{auth: auth, warned: map[string]bool{}}
	var err error
	if h.byJWT() {
		return h.readPrivateKey(r)
	}
	if r.key, r.first, err = h.Credentials.resolveFor(auth); err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	literal := h.Credentials.literal()
	if h.NextCredentials != nil {
		var key string
		if key, r.next, err = h.NextCredentials.resolveFor(auth); err != nil {
			return fmt.Errorf("next_credentials: %w", err)
		}
		if key != r.key {
			return errors.New("next_credentials: its api_key is not that of credentials; write the same one in both, since they are two secrets of one account")
		}
		literal = literal || h.NextCredentials.literal()
	}
	if literal {
		h.logger.Warn(literalSecret)
	}
	h.rotation = r
	h.warnOfEqualSecrets()
	return nil
}

// readPrivateKey does so for an account whose calls are signed. With credentials it is the
// same account that it was with v1.
func (h *Handler) readPrivateKey(r rotation) (err error) {
	if r.first, err = h.resolvePrivateKey(); err != nil {
		return err
	}
	r.key = h.Application
	if h.Credentials != nil {
		if r.key, r.drain, err = h.Credentials.resolveFor(r.auth); err != nil {
			return fmt.Errorf("credentials: %w", err)
		}
		if h.Credentials.literal() {
			h.logger.Warn(literalSecret)
		}
	}
	if !placeholder.MatchString(h.PrivateKey) {
		h.logger.Warn("the private_key stands in the configuration, where the admin API and the autosave file show it; write a placeholder in its place, for example " + privateKeyExample)
	}
	h.rotation = r
	return nil
}

// secrets are those that calls are made with.
func (r *rotation) secrets() (first, next upstream.Secret) {
	first = upstream.NewSecret(r.first)
	if r.next != "" && r.next != r.first {
		next = upstream.NewSecret(r.next)
	}
	return first, next
}

// warnOfEqualSecrets tells of a second secret that is of no use. It is no error: midway
// through a change of both, Caddy must be able to start.
func (h *Handler) warnOfEqualSecrets() {
	if h.rotation.next == h.rotation.first {
		h.warnOnce("next_credentials has the same api_secret as credentials, and so is of no use; write there the next one that the provider gives you")
	}
}

// warnOnce tells of a trouble that lasts no more than once.
func (h *Handler) warnOnce(text string) {
	if h.rotation.warned[text] {
		return
	}
	h.rotation.warned[text] = true
	h.logger.Warn(text)
}

// fileSource matches a placeholder for a file.
var fileSource = regexp.MustCompile(`\{file\.([^{}]+)\}`)

// files are those that credentials come from.
func (c *Credentials) files() []string {
	if c == nil {
		return nil
	}
	return filesOf(c.APIKey + c.APISecret)
}

// filesOf are those that a text names.
func filesOf(text string) (paths []string) {
	for _, match := range fileSource.FindAllStringSubmatch(text, -1) {
		paths = append(paths, match[1])
	}
	return paths
}

// watchCredentials has a new secret put in use as soon as it is in its file, until
// Cleanup. The configuration is in force.
func (h *Handler) watchCredentials() {
	paths := slices.Concat(h.Credentials.files(), h.NextCredentials.files())
	if h.byJWT() {
		paths = filesOf(h.PrivateKey)
		if h.Drain == apiV1 {
			paths = append(paths, h.Credentials.files()...)
		}
	}
	if len(paths) == 0 {
		return
	}
	h.rotation.stop = watch.Files(paths, h.rereadCredentials, func(err error) {
		h.logger.Warn("the files of the credentials cannot be watched: a new secret is noticed within "+watch.Poll.String()+", and by a reload", "why", err.Error())
	})
}

// rereadCredentials puts new secrets in use. What is no secret changes nothing.
func (h *Handler) rereadCredentials() {
	r := &h.rotation
	if h.byJWT() {
		keyTaken, secretTaken := h.rereadPrivateKey(), h.rereadDrained()
		if keyTaken && secretTaken {
			clear(r.warned)
		}
		return
	}
	first, firstErr := h.Credentials.reread(r)
	next, nextErr := r.next, error(nil)
	if h.NextCredentials != nil {
		next, nextErr = h.NextCredentials.reread(r)
	}
	if firstErr != nil {
		first = r.first
		h.warnOnce("credentials: " + firstErr.Error() + "; the secret of before stays in use")
	}
	if nextErr != nil {
		next = r.next
		h.warnOnce("next_credentials: " + nextErr.Error() + "; the secret of before stays in use")
	}
	if first != r.first || next != r.next {
		r.first, r.next = first, next
		if err := h.gateway.Use(r.secrets()); err != nil {
			h.warnOnce("credentials: " + err.Error())
		}
	}
	if firstErr == nil && nextErr == nil {
		clear(r.warned)
		h.warnOfEqualSecrets()
	}
}

// rereadPrivateKey puts a new private key in use, if it is one. Where it is none, ok is false.
func (h *Handler) rereadPrivateKey() (ok bool) {
	r := &h.rotation
	pem, err := h.resolvePrivateKey()
	if last := r.first; err == nil && pem != last {
		r.first = pem
		if err = h.gateway.Use(r.secrets()); err != nil {
			r.first = last
		}
	}
	if err != nil {
		h.warnOnce(err.Error() + "; the key of before stays in use")
	}
	return err == nil
}

// rereadDrained does so with the secret for verifications of v1, where that is not the key.
func (h *Handler) rereadDrained() (ok bool) {
	if h.Drain != apiV1 {
		return true
	}
	r := &h.rotation
	secret, err := h.Credentials.reread(r)
	if err == nil && secret != r.drain {
		if err = h.gateway.UseDrained(upstream.NewSecret(secret)); err == nil {
			r.drain = secret
		}
	}
	if err != nil {
		h.warnOnce("credentials: " + err.Error() + "; the secret of before stays in use")
	}
	return err == nil
}

// errUnsteady is that of files which change while they are read.
var errUnsteady = errors.New("its files change all the time")

// reread returns the secret that its files have now, with the checks of load time. Key
// and secret are read twice, lest one be of before a change of both and the other of
// after it.
func (c *Credentials) reread(r *rotation) (string, error) {
	for range 3 {
		key, secret, err := c.resolveFor(r.auth)
		if err != nil {
			return "", err
		}
		if sameKey, sameSecret, err := c.resolveFor(r.auth); err != nil || sameKey != key || sameSecret != secret {
			continue
		}
		if key != r.key {
			return "", credentialError("api_key", c.APIKey, "is another than when the configuration was loaded, and so another account's; reload the configuration to change the account")
		}
		return secret, nil
	}
	return "", errUnsteady
}
