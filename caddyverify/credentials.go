package caddyverify

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"unicode"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
)

const exampleCredentials = "`credentials {file./run/secrets/vonage_api_key} {file./run/secrets/vonage_api_secret}`"

const (
	// minSecret is the least number of characters of a secret. The provider's have
	// at least 8; a shorter one cannot be told from ordinary text in an answer.
	minSecret = 6
	// The provider's keys have 8 characters and its secrets 8 to 25. Twice that and
	// more leaves room for what it may think of; a private key, a JSON document or a
	// web page is longer.
	maxKey    = 32
	maxSecret = 64
)

var (
	// placeholder matches a value that is nothing but one placeholder.
	placeholder = regexp.MustCompile(`^\{[a-zA-Z_]+\.[^{}]+\}$`)
	// source matches a placeholder of the kinds that credentials come from.
	source = regexp.MustCompile(`\{(env|file)\.[^{}]+\}`)
)

// resolve reads the placeholders. Its errors name a placeholder, never a value.
func (c *Credentials) resolve() (key, secret string, err error) {
	if key, err = resolve("api_key", c.APIKey, maxKey); err != nil {
		return "", "", err
	}
	if secret, err = resolve("api_secret", c.APISecret, maxSecret); err != nil {
		return "", "", err
	}
	return key, secret, nil
}

// resolveFor does that for credentials that are sent.
func (c *Credentials) resolveFor(auth upstream.Auth) (key, secret string, err error) {
	key, secret, err = c.resolve()
	switch {
	case err != nil:
		return "", "", err
	case auth == upstream.Basic && strings.Contains(key, ":"):
		return "", "", credentialError("api_key", c.APIKey, "has a colon in it, which ends the key in the Authorization header; key and secret are two arguments")
	case len(secret) < minSecret:
		return "", "", credentialError("api_secret", c.APISecret, fmt.Sprintf("is shorter than %d characters, which no secret of the provider is", minSecret))
	}
	return key, secret, nil
}

// literal tells whether the secret itself stands in the configuration.
func (c *Credentials) literal() bool { return !placeholder.MatchString(c.APISecret) }

// check tells what is wrong with what is written, whatever placeholders stand for.
func (c *Credentials) check() error {
	if c == nil {
		return errors.New("they are missing; add `credentials <api_key> <api_secret>`, for example " + exampleCredentials)
	}
	for _, one := range []struct {
		name, value string
		most        int
	}{{"api_key", c.APIKey, maxKey}, {"api_secret", c.APISecret, maxSecret}} {
		if one.value == "" {
			return credentialError(one.name, "", "is empty; write for example "+exampleCredentials+", and "+emptyVariable)
		}
		if what := unreadable(one.value); what != "" {
			return credentialError(one.name, one.value, what)
		}
		if strings.Contains(one.value, "{") {
			continue
		}
		if what := improbable(one.value, one.most); what != "" {
			return credentialError(one.name, one.value, what)
		}
	}
	return nil
}

func resolve(name, value string, most int) (string, error) {
	if what := unreadable(value); what != "" {
		return "", credentialError(name, value, what)
	}
	replacer := caddy.NewReplacer()
	resolved, err := replacer.ReplaceOrErr(value, true, true)
	if err != nil || resolved == "" {
		for _, one := range source.FindAllString(value, -1) {
			if replacer.ReplaceAll(one, "") == "" {
				return "", credentialError(name, one, noValue(one))
			}
		}
		return "", credentialError(name, value, noneAtLoad(value))
	}
	if what := improbable(resolved, most); what != "" {
		return "", credentialError(name, value, what)
	}
	return resolved, nil
}

// credentialError says what is wrong with which of the two, and where that comes from.
func credentialError(name, value, what string) error {
	from := source.FindAllString(value, -1)
	if placeholder.MatchString(value) {
		from = []string{value}
	}
	if len(from) > 0 {
		return fmt.Errorf("%s, from %s, %s", name, strings.Join(from, " and "), what)
	}
	return errors.New(name + " " + what)
}

var (
	// shellVariable is ${NAME}, as a shell or a compose file has it.
	shellVariable = regexp.MustCompile(`\$\{[^{}]*\}`)
	// caddyVariable is {$NAME}, which a Caddyfile knows and JSON does not.
	caddyVariable = regexp.MustCompile(`\{\$[^{}]*\}`)
	// nameless is what stands in braces without the dot that placeholders have.
	nameless = regexp.MustCompile(`\{[^{}.]*\}`)
	// fileByName is what Caddy makes of {file.NAME} in a site.
	fileByName = regexp.MustCompile(`^\{http\.request\.uri\.path\.file\.(\w+)\}$`)
	// assignment is a line of a file of environment variables.
	assignment = regexp.MustCompile(`^(export\s+)?[A-Za-z_][A-Za-z0-9_]*=[^=]`)
)

// emptyVariable is how a value gets lost.
const emptyVariable = "mind that {$NAME} stands for nothing while the variable is not set"

// unreadable tells why what is written has no placeholder that could be read; it is
// empty where it may have.
func unreadable(written string) string {
	const use = "; for an environment variable write {env.NAME}, for a file {file./path}"
	switch {
	case written == "":
		return "is empty; write a placeholder, such as {file./path}, and " + emptyVariable
	case strings.Contains(written, "{{") || strings.Contains(written, "}}"):
		return "has braces left over from a template that nobody has filled in"
	case shellVariable.MatchString(written):
		return "has a variable in the form of a shell, ${…}" + use
	case caddyVariable.MatchString(written):
		return "has {$…}, which is known in a Caddyfile alone" + use
	case nameless.MatchString(written):
		return "has braces that are no placeholder" + use
	}
	return ""
}

// improbable tells why a value can be no key or secret of the provider; it is empty
// where it can.
func improbable(value string, most int) string {
	quoted := func(quote string) bool {
		return len(value) > 1 && strings.HasPrefix(value, quote) && strings.HasSuffix(value, quote)
	}
	switch {
	case strings.HasPrefix(value, "\ufeff"), strings.HasPrefix(value, "\xff\xfe"), strings.HasPrefix(value, "\xfe\xff"):
		return "begins with a byte order mark; save it as UTF-8 without one"
	case strings.TrimSpace(value) != value:
		return "begins or ends with white space, which may be a second line break"
	case assignment.MatchString(value):
		return "is written as NAME=value; write the value alone"
	case strings.ContainsFunc(value, unicode.IsSpace):
		return "has white space in it"
	case strings.ContainsFunc(value, unicode.IsControl):
		return "has a control character in it"
	case strings.ContainsFunc(value, func(r rune) bool { return r > unicode.MaxASCII }):
		return "has a character in it that is not ASCII"
	case quoted(`"`), quoted(`'`), quoted("`"):
		return "stands in quotes; write it without"
	case strings.HasPrefix(value, "$"), strings.HasPrefix(value, "%"):
		return "begins with " + value[:1] + ", as a variable does that nobody has filled in"
	case strings.HasPrefix(value, "<"):
		return "begins with <, as a blank does that nobody has filled in"
	case strings.ContainsAny(value, "{}"):
		return "has braces left over from a template or a placeholder that nobody has filled in"
	case len(value) > most:
		return fmt.Sprintf("is longer than %d characters, which none of the provider's is", most)
	}
	return ""
}

// noneAtLoad tells why a placeholder of no other kind has no value.
func noneAtLoad(written string) string {
	if name := fileByName.FindStringSubmatch(written); name != nil {
		return "has no value: in a site Caddy takes {file." + name[1] + "} for part of a request's path; write the file's whole path, for example {file./run/secrets/" + name[1] + "}"
	}
	return "has no value: only {env.NAME} and {file./path} have one when a configuration is loaded"
}

// noValue tells why {env.NAME} or {file.PATH} has no value, for a sentence that begins
// with what it stands for.
func noValue(placeholder string) string {
	kind, name, _ := strings.Cut(strings.Trim(placeholder, "{}"), ".")
	if kind == "file" {
		return "has no value: " + noFile(name)
	}
	if _, set := os.LookupEnv(name); set {
		return "is empty: the environment variable is set to nothing"
	}
	return "has no value: the environment variable is not set"
}

// noFile tells why a file that a placeholder names gives nothing.
func noFile(path string) string {
	info, err := os.Stat(path)
	if err == nil && info.Mode().IsRegular() {
		var file *os.File
		if file, err = os.Open(path); err == nil { //nolint:gosec // the operator named it
			_ = file.Close()
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such file" + whence(path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("the user that runs Caddy (uid %d) may not read the file", os.Getuid())
	case err != nil:
		return "the file cannot be read"
	case info.IsDir():
		return "it is a directory, not a file"
	}
	return "the file is empty"
}

// whence says what a relative path begins at.
func whence(path string) string {
	folder, err := os.Getwd()
	if err != nil || strings.HasPrefix(path, "/") {
		return ""
	}
	return " in " + folder
}
