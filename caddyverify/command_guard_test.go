package caddyverify

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/status"
)

// TestGuardCommands blocks places, sees them refuse, over a reload too, and lifts them; each is in the log.
func TestGuardCommands(t *testing.T) {
	o := newOperated(t)
	const number = "447700900001"
	run := func(want string, args ...string) {
		t.Helper()
		printed, err := o.run(append([]string{"guard"}, args...)...)
		if err != nil || !regexp.MustCompile(want).MatchString(printed) {
			t.Errorf("guard %v prints, with error %v:\n%s\nwant %s", args, err, printed, want)
		}
	}
	refuses := func(want string, args ...string) {
		t.Helper()
		if printed, err := o.run(append([]string{"guard"}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("guard %v prints %q with error %v, want %s", args, printed, err, want)
		}
	}
	answered := func(want string) {
		t.Helper()
		if got := o.call(0, "json", "number="+number+"&brand=Acme"); got.field("status") != want {
			t.Errorf("a request is answered %s, want status %s", got.body, want)
		}
	}
	run(`^There is no guard with rules`, "list")
	run(`^blocked at accounts: 1\n$`, "block", "44770090") // without any rule, too
	answered("7")
	o.load("guard {\nrecommended enforce\n}")
	answered("7")
	run(`(?m)^`+regexp.QuoteMeta(o.label)+` \(shop\):\n  44770090  all callers  block 44770090  enforce  until it is lifted  times 1  refused 2\n$`, "list")
	run(`(?m)^  block +enforce +refused 2 +saved - +would refuse 0 +would save - +verified later 0\n`, "status", "--account", "shop")
	run(`(?m)^  per_number +enforce +refused 0 `, "status")
	run(`"target": "44770090",`, "list", "--json")
	refuses(`there is no block of 44770090; `, "lift", "44770090", "--caller", "checkout")
	run(`^lifted blocks: 1\n$`, "lift", "44770090")
	run(`  no block is in force\n$`, "list", "--account", o.label)
	answered("0")
	run(`^blocked`, "block", "gb", "--caller", "")
	answered("7")
	run(`  GB  caller -  block GB  enforce  until it is lifted  times 1  refused 1\n`, "list")
	run(`^lifted blocks: 1\n$`, "lift", "GB", "--caller", "")
	refuses("there is no block of GB", "lift", "GB")

	refuses("the prefix, of 12 digits, is as long as a whole number", "block", number)
	refuses("the prefix, of 12 digits, is as long as a whole number", "lift", number)
	refuses("the prefix begins with 0; write it with the calling code first", "block", "0044770090")
	refuses("neither a prefix of digits alone, such as 44740012, nor the two-letter code", "block", "+44770090")
	refuses("neither a prefix of digits alone, such as 44740012, nor the two-letter code", "block", "XX")
	refuses("it names no place", "block", "")
	refuses(`there is no account "other"`, "block", "44", "--account", "other")
	refuses(`there is no account "other"`, "status", "--account", "other")
	o.post("guard/lift", `{"prefix":"44"}`, `400 {"error":"the body is no document of this path (docs/admin.md): json: unknown field \"prefix\""}`)
	if code, _ := o.ask("GET", "guard/block", ""); code != 405 {
		t.Errorf("GET is answered %d", code)
	}
	if code, _ := o.ask("POST", "guard", ""); code != 405 {
		t.Errorf("POST is answered %d", code)
	}

	logged := o.logged()
	for _, want := range []string{
		`"msg":"an operator has blocked a place","account":"` + o.label + `","target":"44770090","by":"unix socket"`,
		`"msg":"an operator has lifted a block","account":"` + o.label + `","target":"GB","by":"unix socket"`,
	} {
		if !strings.Contains(logged, want) {
			t.Errorf("%s is not in the log: %s", want, logged)
		}
	}
	if strings.Contains(logged, number) {
		t.Error("a number is in the log")
	}
}

// TestGuardSaysTheSame has the log line of a refusal, the list and the status say the same of a block.
func TestGuardSaysTheSame(t *testing.T) {
	o := newOperated(t)
	o.load("guard {\nper_prefix enforce\n}")
	for _, last := range []string{"000", "100", "200", "300", "400", "500", "600", "700", "800", "900", "950", "990"} {
		o.call(0, "json", "number=447700900"+last+"&brand=Acme")
	}
	const why = "per_prefix 44770090: 10 in 10m, at most 10; for another 1h"
	var told status.GuardReports
	o.get("guard", &told)
	if len(told.Accounts) != 1 || len(told.Accounts[0].Blocks) != 1 {
		t.Fatalf("it tells %+v", told)
	}
	if got := told.Accounts[0].Blocks[0]; !strings.HasPrefix(got.Why, strings.TrimSuffix(why, "1h")) || got.Times != 1 {
		t.Errorf("the block is %+v", got)
	}
	if c := told.Accounts[0].Callers; len(c) != 1 || c[0].Started == 0 {
		t.Errorf("of callers it tells %+v", c)
	}
	document, err := json.Marshal(told)
	if err != nil || strings.Contains(string(document), "447700900") {
		t.Errorf("it has a number: %s", document)
	}
	if logged := o.logged(); !strings.Contains(logged, `"guard":"per_prefix 44770090: `) || !strings.Contains(logged, `"why":"`+why+`"`) {
		t.Errorf("the log has other words: %s", logged)
	}
}

// TestReplay tries rules on a record, those that are recommended and those of configurations.
func TestReplay(t *testing.T) {
	folder := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	starts := file("starts.jsonl", `{"at":"2026-06-01T10:00:00Z","run":"a","start":1,"number":"n1","hundred":"h1","prefix":"44770090","country":"GB","worst":50000,"currency":"EUR"}
{"at":"2026-06-01T10:00:40Z","run":"a","start":1,"outcome":"success"}
{"at":"2026-06-01T10:01:00Z","run":"a","start":2,"number":"n2","hundred":"h2","prefix":"3361234","country":"FR","worst":70000,"currency":"EUR"}
`)
	account := func(name, guard string) string {
		return "account " + name + " {\ncredentials key_" + name + " {env.VERIFY_TEST_UNSET}\nguard {\n" + guard + "\n}\n}\n"
	}
	one := file("one", "{\nverify {\n"+account("shop", "countries monitor GB\nper_number off")+"}\n}\n")
	two := file("two", "{\nverify {\n"+account("shop", "countries GB")+account("bank", "deny_prefix 447")+"}\n}\n")
	none := file("none", ":80 {\nverify {\ncredentials key {env.VERIFY_TEST_UNSET}\n}\n}\n")
	handler := func(key, guard string) string {
		return "handle /" + guard[:1] + "* {\nverify {\ncredentials " + key + " {env.VERIFY_TEST_UNSET}\nguard {\n" + guard + "\n}\n}\n}\n"
	}
	three := file("three", ":80 {\n"+handler("key", "countries GB")+handler("key", "deny_prefix 447")+"}\n")
	four := file("four", ":80 {\n"+handler("key", "countries GB")+handler("key", "deny_prefix 447")+handler("other", "number_types")+"}\n")
	off := file("off", "{\nverify {\n"+account("shop", "per_number off\nrecord /var/lib/caddy/starts.jsonl")+"}\n}\n")
	run := func(args ...string) (string, error) {
		t.Helper()
		cmd := guardCommand()
		var out strings.Builder
		cmd.SetOut(&out)
		cmd.SetArgs(append([]string{"replay"}, args...))
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		err := cmd.Execute()
		return out.String(), err
	}
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"recommended":    {[]string{starts}, `^2 starts from 2026-06-01 10:00:00 to 2026-06-01 10:01:00 UTC: 1 verified, 0 refused by the rules in force then, 0 trusted; 0\.12 EUR\n(.|\n)*per_prefix +0 +0 (.|\n)*\nall +0 +0 `},
		"an account":     {[]string{"--config", one, "--adapter", "caddyfile", starts}, `\ncountries +1 +0 +1 +0 +0 +0\.07 EUR +- +2026-06-01 10:01:00 countries FR\nall +1 +0 +1 `},
		"by its name":    {[]string{"--config", one, "--adapter", "caddyfile", "--account", "shop", starts}, `\ncountries +1 `},
		"two handlers":   {[]string{"--config", three, "--adapter", "caddyfile", starts}, `\ncountries +1 (.|\n)*deny_prefix +1 (.|\n)*\nall +2 `},
		"both, by name":  {[]string{"--config", four, "--adapter", "caddyfile", "--account", "api.nexmo.com (2)", starts}, `\ncountries +1 (.|\n)*deny_prefix +1 (.|\n)*\nall +2 `},
		"one of several": {[]string{"--config", two, "--adapter", "caddyfile", "--account", "bank", starts}, `\ndeny_prefix +1 +1 +0 `},
		"as JSON":        {[]string{"--json", "--config", one, "--adapter", "caddyfile", starts}, `"line": "` + regexp.QuoteMeta(starts) + `:3",\n +"rule": "countries"`},
	} {
		if printed, err := run(test.args...); err != nil || !regexp.MustCompile(test.want).MatchString(printed) {
			t.Errorf("%s: it prints, with error %v:\n%s\nwant %s", name, err, printed, test.want)
		}
	}
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no record":          {[]string{filepath.Join(folder, "missing")}, "no such file"},
		"no file":            {nil, "requires at least 1 arg"},
		"another file":       {[]string{one}, one + ":1: it is no line of a record: it is not a JSON object; give the files as the gateway has written them"},
		"several accounts":   {[]string{"--config", two, "--adapter", "caddyfile", starts}, "several accounts have a guard; name one with --account: bank, shop"},
		"no such account":    {[]string{"--config", two, "--adapter", "caddyfile", "--account", "x", starts}, "no account has a guard, or none of the --account's name"},
		"no rule":            {[]string{"--config", off, "--adapter", "caddyfile", starts}, "no rule of this account is in monitor or enforce; write recommended monitor, or leave out --config"},
		"no guard":           {[]string{"--config", none, "--adapter", "caddyfile", starts}, "no account has a guard"},
		"no configuration":   {[]string{"--account", "shop", starts}, "--account and --adapter are about a --config"},
		"a bad one":          {[]string{"--config", file("bad", "{\n"), "--adapter", "caddyfile", starts}, "--config: it cannot be read"},
		"what is not a rule": {[]string{"--config", file("bad.json", `{"apps":{"verify":{"accounts":{"a":{"guard":{"countries":{"values":["XX"]}}}}}}}`), starts}, "--config: guard: countries: value 1 is not"},
	} {
		if printed, err := run(test.args...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: it prints %q with error %v, want %s", name, printed, err, test.want)
		}
	}
}

// TestGuardRecord has starts and their ends written into a file that shows no number, over a reload,
// and replayed.
func TestGuardRecord(t *testing.T) {
	o := newOperated(t)
	path := filepath.Join(t.TempDir(), "records", "starts.jsonl")
	guard := "guard {\nrecord " + path + "\n}" // with no rule
	o.load(guard)
	const number = "447700900001"
	o.call(0, "check/json", "request_id="+o.start(0, number)+"&code=1111")
	o.load(guard + "\ncache off")
	id := o.start(0, "447700900002")
	o.call(0, "check/json", "request_id="+id+"&code="+o.api.Verifications()[1].Code)
	var told status.GuardReports
	if o.get("guard", &told); len(told.Accounts) != 1 || told.Accounts[0].Record != path || told.Accounts[0].RecordMissing != 0 {
		t.Errorf("it tells %+v", told)
	}
	o.load("guard {\nrecommended\n}") // the record is whole by then
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, hidden := range []string{number, "0900001", "447700900002", id, testSecret} {
		if strings.Contains(string(content), hidden) {
			t.Errorf("%s is in the record: %s", hidden, content)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("it has the mode %v %v", info.Mode(), err)
	}
	cmd := guardCommand()
	var out strings.Builder
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"replay", path})
	if err := cmd.Execute(); err != nil || !regexp.MustCompile(`^2 starts from .*: 1 verified, 0 refused`).MatchString(out.String()) {
		t.Errorf("it is replayed with error %v: %s\n%s", err, out.String(), content)
	}
	if runs := regexp.MustCompile(`"run":"(\w+)"`).FindAllStringSubmatch(string(content), -1); len(runs) < 3 || runs[0][1] != runs[len(runs)-1][1] {
		t.Errorf("the reload has begun another run: %s", content)
	}
}

// TestLiftWhatIsListed has a block lifted whose beginning of numbers could be a number itself.
func TestLiftWhatIsListed(t *testing.T) {
	o := newOperated(t)
	o.load("guard {\nper_prefix enforce\n}")
	for _, last := range []string{"0000", "0500", "1000", "1500", "2000", "2500", "3000", "3500", "4000", "4500", "5000"} {
		o.call(0, "json", "number=49301234"+last+"&brand=Acme")
	}
	if printed, err := o.run("guard", "list"); err != nil || !strings.Contains(printed, "\n  49301234 ") {
		t.Fatalf("the list is, with error %v:\n%s", err, printed)
	}
	if _, err := o.run("guard", "block", "49301234"); err == nil || !strings.Contains(err.Error(), "as long as a whole number") {
		t.Errorf("it is blocked with error %v", err)
	}
	if printed, err := o.run("guard", "lift", "49301234"); err != nil || printed != "lifted blocks: 1\n" {
		t.Errorf("it is lifted as %q with error %v", printed, err)
	}
}

// TestBlockOfNoCaller has no block be of a caller that there is not.
func TestBlockOfNoCaller(t *testing.T) {
	o := newOperated(t)
	o.load("}\ncallers {\ncaller checkout {http.auth.user.id} checkout\nunknown shared")
	for _, name := range []string{"chekout", ""} {
		if printed, err := o.run("guard", "block", "LK", "--caller", name); err == nil || !strings.Contains(err.Error(), `there is no caller "`+name+`"; the configuration has checkout, other`) {
			t.Errorf("%q: it prints %q with error %v", name, printed, err)
		}
	}
	for _, name := range []string{"checkout", "other"} {
		if _, err := o.run("guard", "block", "LK", "--caller", name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestRecordOfTwoAccounts has no file be the record of two accounts, however it is written; handlers of
// one account have one.
func TestRecordOfTwoAccounts(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	site := func(key, path string) string {
		return "http://127.0.0.1:0 {\nhandle /" + key + path + "* {\nverify {\ncredentials " + key + " 0123456789abcdef\nguard {\nrecord " + path + "\n}\n}\n}\n}\n"
	}
	validate := func(sites ...string) error {
		config, err := adaptCaddyfile("{\nadmin off\n}\n" + strings.ReplaceAll(strings.Join(sites, ""), "}\nhttp://127.0.0.1:0 {\n", ""))
		if err != nil {
			t.Fatal(err)
		}
		var read caddy.Config
		if err := json.Unmarshal(config, &read); err != nil {
			t.Fatal(err)
		}
		return caddy.Validate(&read)
	}
	path := filepath.Join(folder, "starts.jsonl")
	if err := validate(site("abcd1111", path), site("abcd2222", "starts.jsonl")); err == nil || !strings.Contains(err.Error(), "guard: record: another account has the same file") {
		t.Errorf("of two accounts: %v", err)
	}
	if err := validate(site("abcd1111", path), site("abcd2222", "other.jsonl")); err != nil {
		t.Errorf("of two files: %v", err)
	}
	if err := validate(site("abcd1111", path), strings.Replace(site("abcd1111", path), "handle /", "handle /2", 1)); err != nil {
		t.Errorf("of one account: %v", err)
	}
}
