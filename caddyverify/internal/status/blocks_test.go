package status

import (
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// TestWhoIsBlocked has the list and the status tell the same of whose starts are refused.
func TestWhoIsBlocked(t *testing.T) {
	for _, test := range []struct {
		block GuardBlock
		want  string
	}{
		{GuardBlock{Everyone: true}, "all callers"},
		{GuardBlock{}, "caller -"},
		{GuardBlock{Caller: "shop"}, "caller shop"},
	} {
		test.block.Target, test.block.Why, test.block.Mode = "LK", "block LK", "enforce"
		blocks := []GuardBlock{test.block}
		var list, all strings.Builder
		w := tabwriter.NewWriter(&list, 0, 0, 1, ' ', 0)
		(&GuardReport{Blocks: blocks}).writeBlocks(w)
		_ = w.Flush()
		(&Guard{Blocks: blocks}).write(&all)
		if !strings.Contains(list.String(), "LK "+test.want+" block LK ") || !strings.Contains(all.String(), "block LK (enforce, "+test.want+")") {
			t.Errorf("want %s: %s%s", test.want, list.String(), all.String())
		}
	}
}

// TestMoment has the date of a time that is not today's.
func TestMoment(t *testing.T) {
	now := time.Date(2026, 3, 1, 1, 30, 0, 0, time.FixedZone("", 2*60*60)) // 28 February, 23:30 UTC
	for after, want := range map[time.Duration]string{
		time.Minute: "23:31:00 UTC", time.Hour: "2026-03-01 00:30:00 UTC", 24 * time.Hour: "2026-03-01 23:30:00 UTC",
	} {
		if got := moment(now.Add(after), now); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
