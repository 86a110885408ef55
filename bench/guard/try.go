package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddyverify/caddy-verify/caddyverify"
)

// line is one of a record, as docs/guard.md has it.
type line struct {
	At       time.Time `json:"at"`
	Run      string    `json:"run"`
	Start    int       `json:"start"`
	Number   string    `json:"number,omitempty"`
	Hundred  string    `json:"hundred,omitempty"`
	Prefix   string    `json:"prefix,omitempty"`
	Country  string    `json:"country,omitempty"`
	Caller   string    `json:"caller,omitempty"`
	Address  string    `json:"address,omitempty"`
	Worst    int64     `json:"worst,omitempty"`
	Currency string    `json:"currency,omitempty"`
	Outcome  string    `json:"outcome,omitempty"`
}

// begins is a Monday.
var begins = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

func (s *start) cost() float64 {
	return float64(s.number.country.price) * s.app.account.rate
}

// write makes the record of an account. What became of starts stands in a file of its own, so that the
// line of a start is known by its number.
func (m *month) write(folder string, a *account) error {
	return errors.Join(
		m.writeLines(filepath.Join(folder, a.name+"-starts.jsonl"), a, func(i int, s *start) (l line) {
			l = line{
				At: begins.Add(s.at), Number: s.number.prefix + strconv.Itoa(s.number.suffix), Prefix: s.number.prefix,
				Country: s.number.country.code, Caller: s.app.name, Address: s.address, Worst: int64(s.cost()), Currency: a.currency,
			}
			l.Hundred = s.number.prefix + strconv.Itoa(s.number.suffix/100)
			return l
		}),
		m.writeLines(filepath.Join(folder, a.name+"-ends.jsonl"), a, func(i int, s *start) (l line) {
			if s.outcome != "" {
				l = line{At: begins.Add(s.ended), Outcome: s.outcome}
			}
			return l
		}))
}

func (m *month) writeLines(path string, a *account, of func(int, *start) line) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	encoder := json.NewEncoder(w)
	for i := range m.starts {
		if m.starts[i].app.account != a {
			continue
		}
		if l := of(i, &m.starts[i]); !l.At.IsZero() {
			l.Run, l.Start = "simulated", i+1
			if err := encoder.Encode(l); err != nil {
				return err
			}
		}
	}
	return errors.Join(w.Flush(), f.Close())
}

// ruleSet is what is tried: lines of a guard, in which {countries} and {budget} are the account's.
type ruleSet struct{ name, lines string }

var ruleSets = []ruleSet{
	{"recommended", "recommended enforce"},
	{"recommended, countries", "recommended enforce\ncountries enforce {countries}"},
	{"recommended, budget", "recommended enforce\nbudget enforce {budget}\nprice 1 {currency}"},
	{"cool_down", "cool_down enforce"},
	{"per_number", "per_number enforce"},
	{"per_prefix", "per_prefix enforce"},
	{"conversion", "conversion enforce"},
	{"countries", "countries enforce {countries}"},
	{"per_address 10/1h", "per_address enforce 10/1h"},
	{"budget", "budget enforce {budget}\nprice 1 {currency}"},
}

// result is what a set of rules has done.
type result struct {
	set              ruleSet
	genuine, refused int
	byRule           map[string]int // of the genuine ones
	attacks          map[*attack]*stopped
}

// stopped is how much of an attack is. Money is in euros.
type stopped struct {
	spend, saved float64
	before       int // messages before the first was refused
	detected     bool
}

// try replays all accounts with each set.
func (m *month) try(folder string, sets []ruleSet) (results []*result, err error) {
	for _, set := range sets {
		r := &result{set: set, attacks: map[*attack]*stopped{}, byRule: map[string]int{}}
		for _, a := range accounts {
			refused, err := m.replay(folder, a, set)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", set.name, a.name, err)
			}
			m.score(r, a, refused)
		}
		results = append(results, r)
		fmt.Fprint(os.Stderr, ".")
	}
	fmt.Fprintln(os.Stderr)
	return results, nil
}

// replay returns by which rule starts are refused.
func (m *month) replay(folder string, a *account, set ruleSet) (refused map[int]string, err error) {
	guard := strings.NewReplacer("{countries}", a.countries, "{budget}", a.budget, "{currency}", a.currency).Replace(set.lines)
	config := filepath.Join(folder, "tried-rules.caddyfile")
	if err := os.WriteFile(config, []byte(":80 {\nverify {\ncredentials key {env.SECRET}\nguard {\n"+guard+"\n}\n}\n}\n"), 0o600); err != nil {
		return nil, err
	}
	starts := filepath.Join(folder, a.name+"-starts.jsonl")
	var out bytes.Buffer
	if err := command(&out, "guard", "replay", "--json", "--config", config, "--adapter", "caddyfile", starts, filepath.Join(folder, a.name+"-ends.jsonl")); err != nil {
		return nil, err
	}
	var report struct{ Refused []struct{ Line, Rule string } }
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		return nil, err
	}
	refused = make(map[int]string, len(report.Refused))
	for _, r := range report.Refused {
		n, err := strconv.Atoi(strings.TrimPrefix(r.Line, starts+":"))
		if err != nil {
			return nil, err
		}
		refused[n] = r.Rule
	}
	return refused, nil
}

// command runs `caddy verify`.
func command(out io.Writer, args ...string) error {
	cmd := &cobra.Command{Use: "verify", SilenceErrors: true, SilenceUsage: true}
	caddycmd.Commands()["verify"].CobraFunc(cmd)
	cmd.SetOut(out)
	cmd.SetArgs(args)
	return cmd.Execute()
}

// score counts what is refused of an account.
func (m *month) score(r *result, a *account, refused map[int]string) {
	n := 0 // the line
	for i := range m.starts {
		s := &m.starts[i]
		if s.app.account != a {
			continue
		}
		n++
		rule, no := refused[n]
		if s.attack == nil {
			if r.genuine++; no {
				r.refused++
				r.byRule[rule]++
			}
			continue
		}
		of := r.attacks[s.attack]
		if of == nil {
			of = new(stopped)
			r.attacks[s.attack] = of
		}
		cost := s.cost() / s.app.account.rate / 1e6
		of.spend += cost
		switch {
		case no:
			of.detected = true
			of.saved += cost
		case !of.detected:
			of.before++
		}
	}
}
