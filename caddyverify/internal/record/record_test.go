package record

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// file is one in memory.
type file struct {
	bytes.Buffer
	fails error
	block chan struct{} // nil not to block
	opens int
}

func (f *file) open() (io.WriteCloser, error) {
	if f.opens++; f.fails != nil {
		return nil, f.fails
	}
	return f, nil
}

func (f *file) Write(p []byte) (int, error) {
	if f.block != nil {
		<-f.block
	}
	if f.fails != nil {
		return 0, f.fails
	}
	return f.Buffer.Write(p)
}

func (f *file) Close() error { return nil }

// written are files of a folder, and their names.
func written(t *testing.T, contents ...string) (names []string) {
	t.Helper()
	folder := t.TempDir()
	for i, content := range contents {
		name := filepath.Join(folder, fmt.Sprint("starts", i))
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

func enforced(set func(*guard.RuleSet)) (s guard.Settings) {
	set(&s.Account)
	return s
}

func to(number string) guard.Start {
	return guard.Start{Number: number, Country: "GB", Caller: "shop", Address: "192.0.2.7", Worst: guard.Money{Micro: 50_000, Currency: "EUR"}}
}

// TestRecord has a guard's starts written down and replayed: the replay refuses what the guard has.
func TestRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		settings := guard.Settings{Account: guard.Recommended(guard.Enforce), Trusted: guard.Trusted{Prefixes: []string{"4479"}}}
		var f file
		g, r := guard.New(settings), NewRecorder(f.open, func(err error) { t.Error("lines are missing:", err) })
		g.Record(r.Take)
		id, refused := 0, 0
		start := func(s guard.Start, then func(guard.Ticket, string)) {
			d := g.Decide(s)
			if _, no := d.Refusal(); no {
				refused++
				return
			}
			id++
			then(d.Ticket, fmt.Sprint("request-id-", id))
		}
		begun := func(outcome wire.Outcome) func(guard.Ticket, string) {
			return func(t guard.Ticket, id string) {
				g.Started(t, id)
				if time.Sleep(20 * time.Second); outcome != "" {
					g.Ended(id, outcome)
				}
			}
		}
		for i := range 15 {
			start(to(fmt.Sprintf("44740012%04d", i*500)), begun(""))
		}
		for range 5 {
			start(to("447700900123"), begun(wire.OutcomeCancelled))
		}
		start(to("447911123456"), begun(wire.OutcomeSuccess)) // trusted
		start(to("447700900199"), func(t guard.Ticket, _ string) { g.Withdraw(t) })
		start(to("447700900188"), func(t guard.Ticket, _ string) { g.Concurrent(t, "") })
		start(to("447700900188"), begun(""))
		start(to("29012"), begun(wire.OutcomeSuccess))
		r.Close()
		text := f.String()
		for _, hidden := range []string{"447400120", "0900123", "7911123456", "29012", "192.0.2.7", "request-id"} {
			if strings.Contains(text, hidden) {
				t.Errorf("%s is in the record", hidden)
			}
		}

		starts, err := Read(written(t, text))
		if err != nil || len(starts.Notes) != 0 {
			t.Fatalf("%v %q", err, starts.Notes)
		}
		report := starts.Replay(settings)
		if report.Starts != 25 || report.Trusted != 1 || report.Verified != 2 || report.Unknown != refused || refused != 8 {
			t.Errorf("of %d refused it tells %+v", refused, report)
		}
		if report.All.Refused != refused || report.All.Unknown != refused || len(report.Refused) != refused {
			t.Errorf("the replay refuses %+v, and the guard %d", report.All, refused)
		}
		by := map[string]int{}
		for _, one := range report.Rules {
			by[one.Rule] = one.Refused
			if one.Rule == "per_prefix" && (one.Longest != 3600 || one.Why != "per_prefix 44740012: 10 in 10m, at most 10; for another 1h") {
				t.Errorf("%+v", one)
			}
		}
		if want := "map[conversion:0 cool_down:1 number_types:0 per_number:2 per_prefix:5]"; fmt.Sprint(by) != want {
			t.Errorf("by rule %v, want %v", by, want)
		}
		if got := report.All.Saved["EUR"]; got < 0.399 || got > 0.401 {
			t.Errorf("it saves %v", got)
		}
		report = starts.Replay(enforced(func(r *guard.RuleSet) {
			r.DenyPrefix = guard.DenyPrefix{Mode: guard.Monitor, Denied: []string{"447400", "4474001200"}}
		}))
		if report.All.Refused != 15 || report.All.Unknown != 5 || len(report.Rules) != 1 {
			t.Errorf("a prefix refuses %+v", report.All)
		}
	})
}

// TestNeighbours keeps what is near each other near.
func TestNeighbours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f file
		g, r := guard.New(guard.Settings{}), NewRecorder(f.open, func(error) {})
		g.Record(r.Take)
		for i := range 7 {
			g.Decide(to(fmt.Sprintf("4474001255%02d", i*13)))
			g.Decide(to(fmt.Sprintf("44740013%02d55", i*13)))
		}
		r.Close()
		starts, err := Read(written(t, f.String()))
		if err != nil {
			t.Fatal(err)
		}
		report := starts.Replay(enforced(func(r *guard.RuleSet) { r.PerPrefix.Mode = guard.Enforce }))
		if report.All.Refused != 2 || !strings.HasPrefix(report.All.Why, "per_prefix 44740012: 5 in 10m, at most 5") {
			t.Errorf("it refuses %+v", report.All)
		}
	})
}

// TestMissing counts lines that cannot be written, tells so once, and goes on when they can be.
func TestMissing(t *testing.T) {
	begin := func(f *file) (*Recorder, *[]error) {
		told := new([]error)
		return NewRecorder(f.open, func(err error) { *told = append(*told, err) }), told
	}
	line := guard.Entry{Kind: guard.Withdrawn, Serial: 1}
	t.Run("no file", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			full := errors.New("no space")
			f := &file{fails: full}
			r, told := begin(f)
			for range 3 {
				r.Take(line)
				synctest.Wait()
			}
			if r.Missing() != 3 || f.opens != 1 || !slices.Equal(*told, []error{full}) {
				t.Errorf("%d are missing, opened %d times, told %v", r.Missing(), f.opens, *told)
			}
			time.Sleep(tryAgain)
			f.fails = nil
			r.Take(line)
			synctest.Wait()
			f.fails = full
			r.Take(line)
			r.Close()
			if r.Missing() != 4 || strings.Count(f.String(), `"start":1`) != 1 || len(*told) != 1 {
				t.Errorf("%d are missing, told %v: %s", r.Missing(), *told, f.String())
			}
		})
	})
	t.Run("too slow", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := &file{block: make(chan struct{})}
			r, told := begin(f)
			r.Take(line)
			synctest.Wait()
			for range maxWaiting + 5 {
				r.Take(line)
			}
			close(f.block)
			r.Close()
			if r.Missing() != 5 || !slices.Equal(*told, []error{nil}) || strings.Count(f.String(), `"start":1`) != maxWaiting+1 {
				t.Errorf("%d are missing, told %v", r.Missing(), *told)
			}
		})
	})
}

const (
	good = `{"at":"2026-06-01T10:00:00Z","run":"a","start":1,"number":"n","hundred":"h","prefix":"44770090"}` + "\n"
	end  = `{"at":"2026-06-01T10:00:09Z","run":"a","start":1,"outcome":"success"}` + "\n"
)

func TestRead(t *testing.T) {
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = w.Write([]byte(good))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, content string
		want          string // a note or an error, "" for none
		fails         bool
	}{
		{"whole", "\n" + good + end, "", false},
		{"cut at the end", good + end + `{"at":"2026-`, ":3 is cut, and left out", false},
		{"cut in the middle", good + `{"at":"2026-` + "\n\n" + end, ":2 is cut, and left out", false},
		{"cut, and no run after it", good + `{"at":"2026-` + "\n" + end, ":2: it is no line of a record: it is not a JSON object; give the files", true},
		{"the last one whole", good + "nonsense\n", ":2: it is no line of a record", true},
		{"no end of the last line", good + strings.TrimSuffix(end, "\n"), "", false},
		{"an end alone", good + strings.Replace(end, `"start":1`, `"start":7`, 1), "1 lines are of starts that are in no file", false},
		{"nothing", "\n", "there is no start in", true},
		{"twice", good + good + end, `:2: it is no line of a record: its start is in `, true},
		{"no time", strings.Replace(good, `"at"`, `"when"`, 1) + end, `it has no time as "at"`, true},
		{"no start", strings.Replace(good, `"start":1`, `"start":0`, 1) + end, `as "run" and "start"`, true},
		{"neither", `{"at":"2026-06-01T10:00:09Z","run":"a","start":1}` + "\n" + end, "it is neither of a start", true},
		{"both", strings.Replace(good, "}", `,"outcome":"success"}`, 1) + end, "it is both of a start", true},
		{"an outcome", good + strings.Replace(end, "success", "SUCCESS", 1) + end, `its "outcome" is none of`, true},
		{"a prefix", strings.Replace(good, "44770090", "+4477", 1) + end, `its "prefix" is not`, true},
		{"a figure", strings.Replace(good, "}", `,"worst":-1}`, 1) + end, "it has a figure below 0", true},
		{"another kind", strings.Replace(good, "}", `,"worst":"1"}`, 1) + end, `its "worst" is of the wrong kind`, true},
		{"too long", good + strings.Repeat("x", 1<<17) + "\n", ":2: it is no line of a record", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			starts, err := Read(written(t, test.content))
			got := fmt.Sprint(err)
			if err == nil {
				got = strings.Join(starts.Notes, "\n")
			}
			if (err != nil) != test.fails || !strings.Contains(got, test.want) || test.want == "" && got != "" {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
	names := written(t, end, good)
	gz := names[0] + ".gz"
	if err := os.WriteFile(gz, zipped.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, files := range map[string][]string{"in any order": names, "rolled over": {names[0], gz}} {
		if starts, err := Read(files); err != nil || len(starts.all) != 1 || starts.all[0].outcome != "success" {
			t.Errorf("%s: %+v %v", name, starts, err)
		}
	}
	if _, err := Read([]string{names[1], gz}); err == nil || !strings.Contains(err.Error(), "was a file given twice?") {
		t.Errorf("twice: %v", err)
	}
}
