package caddyverify

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/caddyserver/caddy/v2"
)

const exampleCredentials = "`credentials {env.VONAGE_API_KEY} {env.VONAGE_API_SECRET}`"

// minSecret is the least number of characters of a secret. The provider's have
// at least 8; a shorter one cannot be told from ordinary text in an answer.
const minSecret = 6

// placeholder matches a value that is nothing but one placeholder.
var placeholder = regexp.MustCompile(`^\{[a-zA-Z_]+\.[^{}]+\}$`)

// resolve reads the placeholders. Its errors name a placeholder, never a value.
func (c *Credentials) resolve() (key, secret string, err error) {
	if key, err = resolve("api_key", c.APIKey); err != nil {
		return "", "", err
	}
	if secret, err = resolve("api_secret", c.APISecret); err != nil {
		return "", "", err
	}
	return key, secret, nil
}

// literal tells whether the secret itself stands in the configuration.
func (c *Credentials) literal() bool { return !placeholder.MatchString(c.APISecret) }

func resolve(name, value string) (string, error) {
	if value == "" {
		return "", fmt.Errorf("%s is empty; write for example %s", name, exampleCredentials)
	}
	resolved, err := caddy.NewReplacer().ReplaceOrErr(value, true, true)
	if err == nil && resolved != "" {
		return resolved, nil
	}
	if placeholder.MatchString(value) {
		return "", fmt.Errorf("%s: the placeholder %s has no value; set the variable or the file that it names", name, value)
	}
	return "", errors.New(name + ": a placeholder in it has no value")
}
