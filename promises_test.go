package caddy_verify_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	table "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
)

// TestPromises holds README.md and docs/promises.md together: each sentence of the one stands in a line of the other,
// under the same heading, and the tests named there exist. With -v it lists the promises that no test holds.
func TestPromises(t *testing.T) {
	lines := readPromises(t)
	for _, s := range readSentences(t) {
		var found []*promise
		for _, line := range lines {
			if line.heading == s.heading && line.is(s.text) {
				found = append(found, line)
				line.sentences++
			}
		}
		switch {
		case len(found) == 0:
			t.Errorf("docs/promises.md has no line under %q for\n\t%s", s.heading, s.text)
		case len(found) > 1:
			t.Errorf("docs/promises.md has %d lines under %q for\n\t%s", len(found), s.heading, s.text)
		case strings.HasPrefix(found[0].heldBy, "no test: "):
			t.Logf("%s: %s\n\t%s", s.heading, s.text, found[0].heldBy)
		}
	}
	for _, line := range lines {
		if line.sentences != 1 {
			t.Errorf("README.md has %d sentences under %q for\n\t%s", line.sentences, line.heading, line.text)
		}
		line.check(t)
	}
}

// A promise is a line of docs/promises.md.
type promise struct {
	heading   string
	text      string // the sentence, or its beginning and an ellipsis
	heldBy    string // tests, or why there is none
	sentences int    // how many of README.md it is about
}

func (p *promise) is(sentence string) bool {
	if beginning, cut := strings.CutSuffix(p.text, "…"); cut {
		return strings.HasPrefix(sentence, beginning)
	}
	return sentence == p.text
}

// test is how docs/promises.md names one: a file and a function in it, with a subtest's name or without. A step of
// .ci/run counts, too.
var test = regexp.MustCompile("`([^`: ]+): (\\w+)(?:/([^`]+))?`")

// check wants tests that exist, or a reason.
func (p *promise) check(t *testing.T) {
	t.Helper()
	for _, reason := range []string{"no promise: ", "no test: "} {
		if strings.HasPrefix(p.heldBy, reason) {
			return
		}
	}
	tests := test.FindAllStringSubmatch(p.heldBy, -1)
	if len(tests) == 0 || len(tests) != strings.Count(p.heldBy, "`")/2 {
		t.Errorf("%q, %q: not all of these are tests: %s", p.heading, p.text, p.heldBy)
	}
	for _, named := range tests {
		file, name, subtest := named[1], named[2], named[3]
		declaration := "func " + name + "("
		if file == ".ci/run" {
			declaration = "step_" + name + "() {"
		}
		content, err := os.ReadFile(filepath.FromSlash(file))
		if err != nil || !strings.Contains(string(content), "\n"+declaration) || !strings.Contains(string(content), subtest) {
			t.Errorf("%q, %q: there is no %s", p.heading, p.text, named[0])
		}
	}
}

// A sentence is one of README.md.
type sentence struct{ heading, text string }

// ends is where one sentence follows another.
var ends = regexp.MustCompile(`[.?!]['")]* `)

// readSentences cuts README.md. A row of a table is one text, since the first cell tells what the others speak of.
func readSentences(t *testing.T) (sentences []sentence) {
	t.Helper()
	walk(t, "README.md", func(heading string, cells []string) {
		for rest := strings.Join(cells, ": "); rest != ""; {
			end := len(rest)
			if at := ends.FindStringIndex(rest); at != nil {
				end = at[1]
			}
			sentences = append(sentences, sentence{heading, strings.TrimSpace(rest[:end])})
			rest = rest[end:]
		}
	})
	return sentences
}

func readPromises(t *testing.T) (lines []*promise) {
	t.Helper()
	walk(t, filepath.FromSlash("docs/promises.md"), func(heading string, cells []string) {
		if len(cells) == 2 {
			lines = append(lines, &promise{heading: heading, text: cells[0], heldBy: cells[1]})
		}
	})
	return lines
}

// walk gives the paragraphs and list items, as single cells, and the rows of tables, except their heads, of a document.
func walk(t *testing.T, file string, block func(heading string, cells []string)) {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var heading string
	document := goldmark.New(goldmark.WithExtensions(extension.Table)).Parser().Parse(text.NewReader(source))
	_ = ast.Walk(document, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch node := node.(type) {
		case *ast.Heading:
			heading = words(node, source)
		case *ast.Paragraph, *ast.TextBlock:
			block(heading, []string{words(node, source)})
		case *table.TableRow:
			var cells []string
			for cell := node.FirstChild(); cell != nil; cell = cell.NextSibling() {
				cells = append(cells, words(cell, source))
			}
			block(heading, cells)
		default:
			return ast.WalkContinue, nil
		}
		return ast.WalkSkipChildren, nil
	})
}

// words is a node's text as a line: links and emphasis as what they enclose, code in its backticks.
func words(node ast.Node, source []byte) string {
	var b strings.Builder
	_ = ast.Walk(node, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		switch node := node.(type) {
		case *ast.CodeSpan:
			b.WriteByte('`')
		case *ast.AutoLink:
			if entering {
				b.Write(node.URL(source))
			}
		case *ast.Text:
			if entering {
				b.Write(node.Segment.Value(source))
				if node.SoftLineBreak() {
					b.WriteByte(' ')
				}
			}
		}
		return ast.WalkContinue, nil
	})
	return strings.TrimSpace(strings.ReplaceAll(b.String(), "&nbsp;", " "))
}
