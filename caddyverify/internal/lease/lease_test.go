package lease

import "testing"

func TestNewest(t *testing.T) {
	var n Newest[string]
	expect := func(when, want string) {
		t.Helper()
		got := ""
		if v := n.Get(); v != nil {
			got = *v
		}
		if got != want {
			t.Errorf("%s: it is %q, want %q", when, got, want)
		}
	}
	expect("at first", "")
	first := n.Add("same")
	expect("one", "same")
	second := n.Add("new")
	expect("two", "new")
	n.Remove(second) // the new configuration failed to load
	expect("the newer went", "same")
	third := n.Add("same") // what was added is told apart, not its value
	fourth := n.Add("newer")
	n.Remove(first)
	expect("the oldest went", "newer")
	n.Remove(fourth)
	n.Remove(fourth)
	expect("the newest went, twice", "same")
	n.Remove(third)
	expect("all went", "")
}
