package record

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
)

// Starts is what was read of a record.
type Starts struct {
	all []start
	// Notes are for whoever reads the report: of lines that were left out, and why.
	Notes []string
}

// start is one and what became of it.
type start struct {
	Line
	where   string // file:line
	order   int    // as its line was read
	outcome string
	ended   moment
	other   int // the index of the one that was under way; -1 for none that is known
	spent   []spending
	worst   guard.Money // Worst, or else by the prices of the replay
}

// moment is when something was written, and after how many other lines.
type moment struct {
	at    time.Time
	order int
}

type spending struct {
	moment
	guard.Money
}

// cost is what it cost, or else the most that it could. A price in another currency than that is none.
func (s *start) cost() guard.Money {
	if n := len(s.spent); n > 0 && (s.Currency == "" || s.spent[n-1].Currency == s.Currency) {
		return s.spent[n-1].Money
	}
	if !s.begun() {
		return guard.Money{}
	}
	return s.worst
}

// begun tells that the provider had taken it, or would have.
func (s *start) begun() bool { return s.outcome != Withdrawn && s.outcome != Running }

// verified tells whether its code was entered, and known whether that could be seen.
func (s *start) verified() (verified, known bool) {
	return s.outcome == "success", s.Refused == ""
}

// serial is a start's in all runs.
type serial struct {
	run   string
	start uint64
}

// reader reads one or more files of a record.
type reader struct {
	Starts
	found   map[serial]int // indices of all
	later   []later
	read    int // lines
	orphans int
}

// later is a line of what became of a start, which may be in another file.
type later struct {
	Line
	order int
}

// Read reads the files of a record, in any order, those that end in .gz too. Its errors tell the
// file and the line.
func Read(files []string) (*Starts, error) {
	r := reader{found: map[serial]int{}}
	for _, name := range files {
		if err := r.file(name); err != nil {
			return nil, err
		}
	}
	r.join()
	if r.orphans > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("%d lines are of starts that are in no file: was one left out, or removed?", r.orphans))
	}
	if len(r.all) == 0 {
		return nil, fmt.Errorf("there is no start in %s: a record is written by an account with guard { record <path> }", strings.Join(files, ", "))
	}
	return &r.Starts, nil
}

func (r *reader) file(name string) error {
	f, err := os.Open(name) //nolint:gosec // the operator named it
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was read
	var from io.Reader = f
	if strings.HasSuffix(name, ".gz") {
		if from, err = gzip.NewReader(f); err != nil {
			return fmt.Errorf("%s: it is no gzip file: %w", name, err)
		}
	}
	return r.lines(name, from)
}

// cut is a line that cannot be read, since the gateway may have ended while it was written: a
// run begins with an empty line.
type cut struct {
	where string
	err   error
}

func (c *cut) note() string {
	return c.where + " is cut, and left out: the gateway ended while it was written"
}

func (r *reader) lines(name string, from io.Reader) error {
	lines := bufio.NewReaderSize(from, 1<<16)
	var bad *cut
	for n := 1; ; n++ {
		where := fmt.Sprintf("%s:%d", name, n)
		text, err := lines.ReadSlice('\n')
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			return noLine(where, err)
		}
		empty := len(bytes.TrimSpace(text)) == 0
		switch {
		case bad != nil && (!empty || end):
			return noLine(bad.where, bad.err)
		case bad != nil:
			r.Notes = append(r.Notes, bad.note())
			bad = nil
		case !empty:
			if err := r.line(text, where); err != nil {
				bad = &cut{where, err}
			}
		}
		if end {
			if bad != nil {
				r.Notes = append(r.Notes, bad.note())
			}
			return nil
		}
	}
}

func noLine(where string, err error) error {
	return fmt.Errorf("%s: it is no line of a record: %w; give the files as the gateway has written them, or remove the line", where, err)
}

func (r *reader) line(text []byte, where string) error {
	var l Line
	if err := json.Unmarshal(text, &l); err != nil {
		if bad, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return fmt.Errorf("its %q is of the wrong kind", bad.Field)
		}
		return errors.New("it is not a JSON object")
	}
	if err := l.check(); err != nil {
		return err
	}
	r.read++
	if l.Number == "" {
		r.later = append(r.later, later{l, r.read})
		return nil
	}
	if at, twice := r.found[serial{l.Run, l.Start}]; twice {
		return fmt.Errorf("its start is in %s, too: was a file given twice?", r.all[at].where)
	}
	r.found[serial{l.Run, l.Start}] = len(r.all)
	r.all = append(r.all, start{Line: l, where: where, order: r.read})
	return nil
}

// join brings starts, in the order of their times, and what became of them together.
func (r *reader) join() {
	slices.SortStableFunc(r.all, func(a, b start) int { return a.At.Compare(b.At) })
	for i := range r.all {
		r.found[serial{r.all[i].Run, r.all[i].Start}] = i
	}
	slices.SortStableFunc(r.later, func(a, b later) int { return a.At.Compare(b.At) })
	for i := range r.later {
		l := &r.later[i]
		at, known := r.found[serial{l.Run, l.Start}]
		if !known {
			r.orphans++
			continue
		}
		s := &r.all[at]
		if l.Spent != nil {
			s.spent = append(s.spent, spending{moment{l.At, max(l.order, s.order)}, guard.Money{Micro: *l.Spent, Currency: cmp.Or(l.Currency, s.Currency)}})
			continue
		}
		s.outcome, s.ended, s.other = l.Outcome, moment{l.At, max(l.order, s.order)}, -1
		if other, known := r.found[serial{l.Run, l.Other}]; known {
			s.other = other
		}
	}
	r.later = nil
}
