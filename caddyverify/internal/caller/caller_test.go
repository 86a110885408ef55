package caller

import (
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	rules, err := NewRules([]Rule{
		{Caller: Caller{Name: "checkout"}, From: "user", Is: []string{"checkout", "checkout-*"}},
		{Caller: Caller{Name: "support"}, From: "subject", Is: []string{"CN=support*,O=Acme", "CN=*desk*"}},
		{Caller: Caller{Name: "rest"}, From: "user", Is: []string{"*"}},
	}, &Caller{})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ user, subject, want string }{
		{user: "checkout", want: "checkout"},
		{user: "checkout-2", want: "checkout"},
		{user: "Checkout", want: "rest"},
		{subject: "CN=support-7,O=Acme", want: "support"},
		{subject: "CN=support-7,O=Evil", want: Other},
		{subject: "CN=night desk,O=Acme", want: "support"},
		{user: "someone", subject: "CN=support,O=Acme", want: "support"},
		{user: "someone", subject: "CN=x", want: "rest"},
		{want: Other},
	} {
		found, ok := rules.Find(func(from string) (string, bool) {
			value := map[string]string{"user": test.user, "subject": test.subject}[from]
			return value, value != ""
		})
		if !ok || found.Name != test.want {
			t.Errorf("%q, %q is %v, want %s", test.user, test.subject, found, test.want)
		}
	}
	strict, _ := NewRules(nil, nil)
	if found, ok := strict.Find(func(string) (string, bool) { return "x", true }); ok {
		t.Errorf("a caller that nobody knows is %v", found)
	}
}

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true},
		{"a", "a", true},
		{"a", "ab", false},
		{"*", "", true},
		{"a*", "a", true},
		{"a*a", "a", false},
		{"a*a", "aa", true},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "a-c-b", false},
		{"*b", "ab", true},
		{"*b", "ba", false},
		{"**", "x", true},
	} {
		if got := match(test.pattern, test.text); got != test.want {
			t.Errorf("match(%q, %q) is %t", test.pattern, test.text, got)
		}
	}
}

func TestNewRulesRefuses(t *testing.T) {
	rule := func(name, from string, is ...string) Rule {
		return Rule{Caller: Caller{Name: name}, From: from, Is: is}
	}
	for _, test := range []struct {
		rules []Rule
		want  string
	}{
		{[]Rule{rule("", "user", "a")}, "a name has"},
		{[]Rule{rule("other", "user", "a")}, "a name has"},
		{[]Rule{rule("two words", "user", "a")}, "a name has"},
		{[]Rule{rule("a", "user")}, "no value"},
		{[]Rule{rule("a", "user", "a"), rule("a", "user", "b")}, "two of this name"},
		{[]Rule{rule("a", "user", "*"), rule("b", "user", "b")}, `"b" is never found, since caller a`},
		{[]Rule{rule("a", "user", "b*"), rule("b", "user", "x", "be*")}, `"be*" is never found, since caller a`},
		{[]Rule{rule("a", "user", "be*"), rule("b", "user", "b*"), rule("c", "subject", "be")}, ""},
	} {
		switch _, err := NewRules(test.rules, nil); {
		case test.want == "" && err != nil, test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%v: %v, want %q", test.rules, err, test.want)
		}
	}
}

func TestMost(t *testing.T) {
	rules, _ := NewRules([]Rule{{Caller: Caller{Name: "a", Most: 2}, From: "user", Is: []string{"a"}}}, nil)
	c := rules.All()[0]
	for i, want := range []bool{true, true, false} {
		if c.Enter() != want {
			t.Errorf("call %d is not let in as it should", i)
		}
	}
	c.Leave()
	if !c.Enter() || c.Enter() {
		t.Error("the place of one that left is not free")
	}
}
