package lease

import "testing"

func TestNewest(t *testing.T) {
	var n Newest[string]
	expect := func(want string) {
		t.Helper()
		got := ""
		if newest := n.Get(); newest != nil {
			got = *newest
		}
		if got != want {
			t.Errorf("the newest is %q, want %q", got, want)
		}
	}
	expect("")
	first := n.Add("first")
	expect("first")
	second := n.Add("second")
	expect("second")
	n.Remove(second) // its configuration failed to load
	expect("first")
	third := n.Add("third")
	n.Remove(first) // a reload
	n.Remove(first)
	expect("third")
	n.Remove(third)
	expect("")
}
