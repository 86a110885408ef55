package caddyverify

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

// run runs a command as the command line would, and returns what it prints.
func (o *operated) run(args ...string) (printed string, err error) {
	o.Helper()
	return runAdmin(o.T, append(args, "--address", "unix/"+o.socket)...)
}

func runAdmin(t *testing.T, args ...string) (printed string, err error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = w
	defer func() { os.Stdout = stdout }()
	for _, cmd := range append(adminCommands(), guardCommand()) {
		if cmd.Name() != args[0] {
			continue
		}
		cmd.SetArgs(args[1:])
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		err = cmd.Execute()
	}
	w.Close()
	text, readErr := io.ReadAll(r)
	if readErr != nil {
		t.Fatal(readErr)
	}
	return string(text), err
}

func TestAdminCommands(t *testing.T) {
	o := newOperated(t)
	id := o.start(0, "447700900001")
	o.call(0, "check/json", "request_id="+id+"&code=9999")
	for _, test := range []struct {
		name string
		args []string
		want string // a pattern
	}{
		{"status", []string{"status"}, `^caddy-verify \S+, go\S+, \S+Z\n\n` + regexp.QuoteMeta(o.label) + ` \(shop\): OK\nStarted in the last hour: 1; none has ended yet.*\n\nlast hour +started 1 of 1 +verified 0 +success 0\.0 %(.|\n)*limit +off(.|\n)*GB +1 +0 +0\.0 %`},
		{"as it is", []string{"status", "--json"}, `^\{\n  "accounts": \[\n(.|\n)*"state": "ok"`},
		{"a verification", []string{"explain", id}, `^It was started \d+ s ago and waits for the right code: wrong ones were tried\.\n\nrequest_id +` + id + `\n(.|\n)*attempts +1\n`},
		{"a verification as it is", []string{"explain", id, "--json"}, `"attempts": 1,`},
		{"purge", []string{"purge"}, `^purged caches: 1\n$`},
		{"purge one", []string{"purge", id, "--account", "shop"}, `^purged caches: 1\n$`},
		{"open", []string{"breaker", "shop", "write", "open"}, `^The circuit write of shop is open until you close it\.\n$`},
		{"what it does", []string{"status"}, `: DOWN\nRequests and controls are stopped by an operator(.|\n)*breaker write +held open by an operator since`},
		{"close", []string{"breaker", o.label, "write", "close"}, `is closed\.\n$`},
	} {
		t.Run(test.name, func(t *testing.T) {
			printed, err := o.run(test.args...)
			if err != nil || !regexp.MustCompile(test.want).MatchString(printed) {
				t.Errorf("%v prints, with error %v:\n%s\nwant %s", test.args, err, printed, test.want)
			}
		})
	}
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"no such verification", []string{"explain", "nobodys"}, `this gateway knows no verification "nobodys"`},
		{"no request_id", []string{"purge", "zzz"}, "that is no request_id, and nothing was purged"},
		{"no such account", []string{"breaker", "other", "read", "open"}, `there is no account "other"; there are ["` + o.label + `" "shop"]`},
		{"no such breaker", []string{"breaker", "shop", "all", "open"}, `there is no breaker "all"`},
		{"no such action", []string{"breaker", "shop", "read", "half"}, "there is no /verify/breaker/shop/read/half"},
		{"too few arguments", []string{"explain"}, "accepts 1 arg(s), received 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := o.run(test.args...); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want %s", err, test.want)
			}
		})
	}
	nobody := "unix/" + filepath.Join(t.TempDir(), "none.sock")
	if _, err := runAdmin(t, "status", "--address", nobody); err == nil || !strings.Contains(err.Error(), "no Caddy answers at the admin endpoint "+nobody+": is it running?") || !strings.Contains(err.Error(), "`caddy verify demo` has none") {
		t.Errorf("without a Caddy the error is %v", err)
	}
}

// What answers at the admin address may be something else.
func TestAdminCommandsElsewhere(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"has no caddy-verify in it":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
		"gives no document of caddy-ver": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: handler} //nolint:gosec // a test's
		go server.Serve(listener)                //nolint:errcheck // it ends with the test
		t.Cleanup(func() { server.Close() })
		if _, err := runAdmin(t, "status", "--address", listener.Addr().String()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("the error is %v, want %s", err, name)
		}
	}
}

// A gateway that is away for a while ends no watch, but one that was never there does.
func TestWatchStatus(t *testing.T) {
	away := errors.New("no Caddy answers")
	for _, test := range []struct {
		name  string
		looks []error
		want  string
		err   error
	}{
		{"started anew", []error{nil, away, nil}, "<fine\n<no Caddy answers\n<fine\n", nil},
		{"never there", []error{away}, "", away},
	} {
		t.Run(test.name, func(t *testing.T) {
			var printed strings.Builder
			looks := test.looks
			look := func(w io.Writer) error {
				err := looks[0]
				looks = looks[1:]
				fmt.Fprintln(w, "fine")
				return err
			}
			err := watchStatus(&printed, look, func() bool { return len(looks) > 0 })
			if got := strings.ReplaceAll(printed.String(), "\x1b[2J\x1b[H", "<"); got != test.want || !errors.Is(err, test.err) {
				t.Errorf("it prints %q with error %v, want %q and %v", got, err, test.want, test.err)
			}
		})
	}
}

// The help of caddy verify is written as that of its commands.
func TestUsage(t *testing.T) {
	cmd := &cobra.Command{Use: "verify "} // as Caddy makes it
	caddycmd.Commands()["verify"].CobraFunc(cmd)
	if got := cmd.UseLine(); got != "verify" {
		t.Errorf("it is used as %q", got)
	}
	for _, sub := range cmd.Commands() {
		if sub.Short == "" || strings.Contains(sub.Use, "  ") {
			t.Errorf("%q is for %q", sub.Use, sub.Short)
		}
	}
}
