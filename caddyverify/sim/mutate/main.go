// Command mutate plants bugs, one after the other, and looks whether the simulator
// notices them:
//
//	go run ./caddyverify/sim/mutate            # each within 1000 seeds
//	go run ./caddyverify/sim/mutate -seeds 100 -only limit
//
// It changes no file: the bugs come in by `go test -overlay`. A bug that survives is a
// checker that is missing. The result is the table in docs/testing.md.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"time"
)

func main() {
	seeds := flag.Int("seeds", 1000, "how many seeds each bug gets")
	only := flag.String("only", "", "bugs whose file has this in its name")
	flag.Parse()
	folder, err := os.MkdirTemp("", "mutate")
	if err != nil {
		fail(err)
	}
	defer os.RemoveAll(folder)
	survived := 0
	fmt.Println("| planted bug | file | seeds | noticed by |\n|---|---|---|---|")
	for _, m := range Mutants {
		if !strings.Contains(m.File, *only) {
			continue
		}
		n, by, err := m.run(folder, *seeds)
		if err != nil {
			fail(fmt.Errorf("%s: %w", m.About, err))
		}
		if by == "" {
			survived++
			by = "**nothing**"
		}
		fmt.Printf("| %s | `%s` | %d | %s |\n", m.About, strings.TrimPrefix(m.File, "caddyverify/internal/"), n, by)
	}
	if survived > 0 {
		fail(fmt.Errorf("%d bugs were not noticed", survived))
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// Plant returns the file's text with the bug in it.
func (m *Mutant) Plant(text string) (string, error) {
	if n := strings.Count(text, m.Old); n != 1 {
		return "", fmt.Errorf("%s has the text %d times: %q", m.File, n, m.Old)
	}
	return strings.Replace(text, m.Old, m.New, 1), nil
}

var (
	seedPattern    = regexp.MustCompile(`TestSim/seed_(\d+)`)
	checkerPattern = regexp.MustCompile(`checker (\d+)`)
)

// run tells after how many seeds the bug was noticed, and by what.
func (m *Mutant) run(folder string, seeds int) (n int, by string, err error) {
	content, err := os.ReadFile(m.File)
	if err != nil {
		return 0, "", err
	}
	planted, err := m.Plant(string(content))
	if err != nil {
		return 0, "", err
	}
	absolute, err := filepath.Abs(m.File)
	if err != nil {
		return 0, "", err
	}
	changed, overlay, test := filepath.Join(folder, "changed.go"), filepath.Join(folder, "overlay.json"), filepath.Join(folder, "sim.test")
	table, err := json.Marshal(map[string]map[string]string{"Replace": {absolute: changed}})
	if err != nil {
		return 0, "", err
	}
	for name, text := range map[string]string{changed: planted, overlay: string(table)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			return 0, "", err
		}
	}
	if out, err := exec.Command("go", "test", "-c", "-overlay", overlay, "-o", test, "./caddyverify/sim").CombinedOutput(); err != nil {
		return 0, "", fmt.Errorf("it does not build: %s", out)
	}
	out, hangs, err := simulate(test, seeds)
	if err == nil {
		return seeds, "", nil
	}
	ran := map[string]bool{}
	for _, found := range seedPattern.FindAllSubmatch(out, -1) {
		ran[string(found[1])] = true
	}
	switch found := checkerPattern.FindSubmatch(out); {
	case found != nil:
		by = "checker " + string(found[1])
	case hangs, strings.Contains(string(out), "deadlock"):
		by = "what goes on for ever"
	default:
		by = "a panic"
	}
	return len(ran), by, nil
}

// longestSeed is longer than a seed takes on a slow machine.
const longestSeed = time.Minute

// simulate runs seeds until one fails. hangs tells that one did not come to its end.
func simulate(test string, seeds int) (out []byte, hangs bool, err error) {
	command := exec.Command(test, "-test.run", "TestSim$", "-test.v", "-test.timeout", "1h", "-seeds", fmt.Sprint(seeds))
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, false, err
	}
	var stderr bytes.Buffer
	command.Stderr = &stderr
	if err := command.Start(); err != nil {
		return nil, false, err
	}
	var stuck atomic.Bool
	timer := time.AfterFunc(longestSeed, func() {
		stuck.Store(true)
		_ = command.Process.Kill()
	})
	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadBytes('\n')
		out = append(out, line...)
		if err != nil {
			break
		}
		timer.Reset(longestSeed)
	}
	timer.Stop()
	err = command.Wait()
	return append(out, stderr.Bytes()...), stuck.Load(), err
}
