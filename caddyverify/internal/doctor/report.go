// Package doctor checks a gateway's configuration and its surroundings, and says of each
// thing that it looks at what is wrong and what to change. It reads configurations as
// JSON and knows no Caddy.
package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
)

// Level is how bad a finding is.
type Level string

// The levels.
const (
	OK   Level = "ok"
	Warn Level = "warn"
	Fail Level = "FAIL"
	Skip Level = "skip" // not looked at, and why
)

// Finding is what came of one check.
type Finding struct {
	Level Level `json:"level"`
	// Check is what was looked at, and Of whose it is: an account, a logger, a site. It
	// is empty where there is one.
	Check string `json:"check"`
	Of    string `json:"of,omitempty"`
	// Text says what was found, and why it matters.
	Text string `json:"text"`
	// Change is the directive to change, or what else to do.
	Change string `json:"change,omitempty"`
}

// Report gathers findings. No finding in it shows a secret that it knows of.
type Report struct {
	findings []Finding
	secrets  []upstream.Secret
}

// Hide has findings that hold the secret, in any of the forms that an answer may echo it
// in, shown without their text.
func (r *Report) Hide(secret upstream.Secret) {
	if !secret.None() {
		r.secrets = append(r.secrets, secret)
	}
}

// Add notes findings.
func (r *Report) Add(findings ...Finding) { r.findings = append(r.findings, findings...) }

// Failed tells whether something does not work.
func (r *Report) Failed() bool { return r.Count(Fail) > 0 }

// Count returns how many findings are of a level.
func (r *Report) Count(level Level) (n int) {
	for i := range r.findings {
		if r.findings[i].Level == level {
			n++
		}
	}
	return n
}

// Findings returns them as they may be shown.
func (r *Report) Findings() []Finding {
	shown := make([]Finding, 0, len(r.findings))
	for _, f := range r.findings {
		f.Check, f.Of, f.Text, f.Change = r.show(f.Check), r.show(f.Of), r.show(f.Text), r.show(f.Change)
		shown = append(shown, f)
	}
	return shown
}

// maxShown is how long a text may be, in bytes: some come from elsewhere.
const maxShown = 1024

// show makes a text one line without anything that a terminal would obey.
func (r *Report) show(text string) string {
	for _, secret := range r.secrets {
		if secret.In([]byte(text)) {
			return "(not shown: it holds the secret)"
		}
	}
	text = strings.Map(func(c rune) rune {
		switch {
		case unicode.IsSpace(c):
			return ' '
		case !unicode.IsPrint(c), c == utf8.RuneError:
			return '?'
		}
		return c
	}, text)
	if len(text) > maxShown {
		text = strings.ToValidUTF8(text[:maxShown], "") + "…"
	}
	return text
}

// WriteText writes a line for each finding, and one that sums up.
func (r *Report) WriteText(w io.Writer) error {
	findings, width := r.Findings(), 0
	for i := range findings {
		width = max(width, utf8.RuneCountInString(findings[i].subject()))
	}
	var b strings.Builder
	for i := range findings {
		f := &findings[i]
		fmt.Fprintf(&b, "%-4s  %-*s  %s", f.Level, width, f.subject(), f.Text)
		if f.Change != "" {
			b.WriteString(" Change: " + f.Change)
		}
		b.WriteByte('\n')
	}
	b.WriteString(r.summary() + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (f *Finding) subject() string {
	if f.Of == "" {
		return f.Check
	}
	return f.Check + " of " + f.Of
}

// summary counts the checks that were made, and those that were not.
func (r *Report) summary() string {
	warnings, failures, skipped := r.Count(Warn), r.Count(Fail), r.Count(Skip)
	text := fmt.Sprintf("%s: %d ok, %s, %s", number(len(r.findings)-skipped, "check"), r.Count(OK), number(warnings, "warning"), number(failures, "failure"))
	if skipped > 0 {
		text += fmt.Sprintf("; %d skipped", skipped)
	}
	return text
}

func number(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// WriteJSON writes the same for machines.
func (r *Report) WriteJSON(w io.Writer) error {
	skipped := r.Count(Skip)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		Findings []Finding `json:"findings"`
		Checks   int       `json:"checks"`
		OK       int       `json:"ok"`
		Warnings int       `json:"warnings"`
		Failures int       `json:"failures"`
		Skipped  int       `json:"skipped"`
	}{r.Findings(), len(r.findings) - skipped, r.Count(OK), r.Count(Warn), r.Count(Fail), skipped})
}
