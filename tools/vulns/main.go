// Command vulns judges what govulncheck found, as it prints it with -format json:
//
//	govulncheck -format json ./... | vulns
//
// It prints each known vulnerability, and fails if a newer version of a module mends one, whether or not the code in
// question is called: raising the version is less work than to be sure of that. It does not fail for the standard
// library, which comes with the Go at hand (go.mod's toolchain line says which one should be), nor for what no release
// of a module mends yet.
package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

func main() {
	if err := judge(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "vulns:", err)
		os.Exit(1)
	}
}

// message is what matters here of one message of govulncheck's protocol v1.0.0.
type message struct {
	Config *struct{}
	OSV    *struct{ ID, Summary string }

	Finding *struct {
		OSV          string
		FixedVersion string `json:"fixed_version"`
		// The frame that is vulnerable comes first; it names as much as is known.
		Trace []struct{ Module, Version, Package, Function string }
	}
}

// vulnerability is one in one module, however many findings it has.
type vulnerability struct {
	id, module, version, fixed string
	reach                      reach
}

// reach is how near the build comes to the vulnerable code.
type reach int

const (
	required reach = iota
	imported
	called
)

func (r reach) String() string { return [...]string{"required", "imported", "called"}[r] }

// mended tells whether a line in go.mod would mend it.
func (v vulnerability) mended() bool {
	return v.module != "stdlib" && v.module != "toolchain" && semver.IsValid(v.fixed) && !module.IsPseudoVersion(v.fixed)
}

func judge(in io.Reader, out io.Writer) error {
	found, summaries, err := read(in)
	if err != nil {
		return err
	}
	var mended []string
	for _, v := range found {
		fix := "nothing mends it yet"
		if v.fixed != "" {
			fix = "mended by " + v.fixed
		}
		fmt.Fprintf(out, "%s: %s %s, %s; %s: %s\n", v.id, v.module, v.version, v.reach, fix, summaries[v.id])
		if v.mended() {
			mended = append(mended, v.module+"@"+v.fixed)
		}
	}
	slices.Sort(mended)
	if mended = slices.Compact(mended); len(mended) > 0 {
		return errors.New("newer versions mend some of these; go get " + strings.Join(mended, " "))
	}
	return nil
}

// read returns the vulnerabilities in order, with what the database says of each.
func read(in io.Reader) ([]vulnerability, map[string]string, error) {
	type key struct{ id, module string }
	var (
		begun     bool
		found     = map[key]vulnerability{}
		summaries = map[string]string{}
		decoder   = json.NewDecoder(in)
	)
	for {
		var m message
		err := decoder.Decode(&m)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, fmt.Errorf("this is not what govulncheck -format json prints: %w", err)
		}
		begun = begun || m.Config != nil
		if m.OSV != nil {
			summaries[m.OSV.ID] = m.OSV.Summary
		}
		if m.Finding == nil || len(m.Finding.Trace) == 0 {
			continue
		}
		frame := m.Finding.Trace[0]
		v := vulnerability{m.Finding.OSV, frame.Module, frame.Version, m.Finding.FixedVersion, required}
		switch {
		case frame.Function != "":
			v.reach = called
		case frame.Package != "":
			v.reach = imported
		}
		k := key{v.id, v.module}
		v.reach = max(v.reach, found[k].reach)
		found[k] = v
	}
	switch {
	case !begun:
		return nil, nil, errors.New("govulncheck has printed nothing")
	case len(summaries) == 0:
		// It prints all that is known of the modules in question, their older versions included.
		return nil, nil, errors.New("the database knows of nothing: it is empty")
	}
	all := slices.SortedFunc(maps.Values(found), func(a, b vulnerability) int {
		return cmp.Or(cmp.Compare(a.module, b.module), cmp.Compare(a.id, b.id))
	})
	return all, summaries, nil
}
