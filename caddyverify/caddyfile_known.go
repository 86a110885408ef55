package caddyverify

import (
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// unrecognized tells what there is instead of a subdirective, or what is likely meant.
func unrecognized(d *caddyfile.Dispenser, of, name string, known []string) error {
	if of != "" {
		of = " of " + of
	}
	hint := "; there are none"
	if like := nearest(name, known); like != "" {
		hint = "; did you mean " + like + "?"
	} else if len(known) > 0 {
		hint = "; there are: " + strings.Join(known, ", ")
	}
	return d.Errf("unrecognized subdirective%s %q%s", of, name, hint)
}

// nearest is the one of known that a typing error or two make of name, "" where there is none.
func nearest(name string, known []string) (like string) {
	least := min(2, len(name)/3) + 1
	for _, one := range known {
		if n := edits(name, one); n < least {
			like, least = one, n
		}
	}
	return like
}

// edits is how many letters are to be put in, left out or replaced (Levenshtein's distance).
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := last
			if a[i] != b[j] {
				replaced++
			}
			last = row[j+1]
			row[j+1] = min(replaced, last+1, row[j]+1)
		}
	}
	return row[len(b)]
}
