package caddyverify

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// surplus are answers after which more bytes come than were announced, each with the
// number of bytes that Content-Length gives; -1 for as many as the body has characters.
var surplus = []struct {
	body   string
	length int
}{
	{`{"sender_id":"` + strings.Repeat("Ö", 30) + `ljy","status":"0","request_id":"cc121958d8fb4368","code":"` + canaryCode + `"}`, -1},
	{`{"status":"0"}` + canarySecret, 14},
	{`{"status":"0"}` + "\r\n" + canaryNumber, 14},
	{`{"status":"0"}` + `{"code":"` + canaryCode + `"}`, 14},
	{`{"status":"0"}` + "HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n" + canarySecret, 14},
	{strings.Repeat(canarySecret+canaryNumber, 100), 0},
}

// childGateway tells the test's own process, started by itself, to be the gateway.
const childGateway = "CADDY_VERIFY_TEST_GATEWAY"

// Go's transport prints what follows an answer by package log. No configuration lets
// it out, whoever has set that package's output before.
func TestNothingThatFollowsAnAnswerIsPrinted(t *testing.T) {
	loggings := []string{
		`{"logs":{"default":{"level":"DEBUG"}}}`,
		`{}`, // Caddy directs package log to a logger of its own
		`{"sink":{"writer":{"output":"stderr"}}}`,
		`{"sink":{"writer":{"output":"stderr"}},"logs":{"default":{"level":"DEBUG"}}}`,
	}
	if os.Getenv(childGateway) != "" {
		runGateway(t, loggings)
		return
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), childGateway+"=1", "VONAGE_API_SECRET="+canarySecret,
		"XDG_CONFIG_HOME="+t.TempDir(), "XDG_DATA_HOME="+t.TempDir())
	all, err := child.CombinedOutput()
	output := string(all)
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	said := moments.ReplaceAllString(output, "")
	for _, canary := range []string{canarySecret, canaryNumber, canaryCode, canaryCode[3:]} {
		expectAbsent(t, "output", said, canary)
	}
	if n := strings.Count(output, "Unsolicited response received on idle HTTP channel"); n != len(loggings)*len(surplus) {
		t.Errorf("%d lines tell of what was left out, want %d:\n%s", n, len(loggings)*len(surplus), output)
	}
	if n := strings.Count(output, "a library printed a line"); n != len(loggings) {
		t.Errorf("%d lines tell of other lines, want %d:\n%s", n, len(loggings), output)
	}
}

// moments are the times, durations and addresses in log lines, in which any five digits may stand.
var moments = regexp.MustCompile(`[0-9]+\.[0-9]+|0x[0-9a-f]+`)

// runGateway is the child process: a Caddy that makes a call for each form, under one
// configuration after the other.
func runGateway(t *testing.T, loggings []string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	left := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			answerTooMuch(c, n%len(surplus))
			left <- struct{}{}
		}
	}()
	for _, logging := range loggings {
		address := freeAddress(t)
		config := fmt.Sprintf(`{"admin":{"disabled":true,"config":{"persist":false}},"logging":%s,"apps":{"http":{"servers":{"s":{"listen":[%q],"routes":[{"handle":[
			{"handler":"verify","upstream":"http://%s","credentials":{"api_key":%q,"api_secret":"{env.VONAGE_API_SECRET}"},"limit":-1,"breaker":{"off":true}}]}]}}}}}`,
			logging, address, listener.Addr(), testKey)
		if err := loadConfig([]byte(config)); err != nil {
			t.Fatal(err)
		}
		for n := range surplus {
			postForm(t, "http://"+address+wire.Path(wire.Request, wire.JSON), fmt.Sprintf("number=44791165432%d&brand=Acme", n))
			<-left // the gateway has closed the connection, and printed by then
		}
		log.Printf("%s by %s, status %s", canarySecret, canaryNumber, canaryCode)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
}

// answerTooMuch answers one call and waits until the gateway has closed the connection.
func answerTooMuch(c net.Conn, form int) {
	defer c.Close()
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, r.Body)
	s := surplus[form]
	if s.length < 0 {
		s.length = len([]rune(s.body))
	}
	fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", s.length, s.body)
	_, _ = io.Copy(io.Discard, c)
}

// Of other lines the fixed words stay, at Caddy's own default logger, with the function
// that printed them.
func TestLinesOfLibraries(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	if err := loadConfig(fmt.Appendf(nil, `{"admin":{"disabled":true,"config":{"persist":false}},"logging":{"logs":{"default":{"writer":{"output":"file","filename":%q}}}}}`, file)); err != nil {
		t.Fatal(err)
	}
	log.SetOutput(io.Discard) // by another plugin
	log.SetPrefix("other: ")
	ownStandardLog()
	const here = "caddyverify.TestLinesOfLibraries."
	tests := []struct {
		print      func()
		want, from string
	}{
		{func() { log.Printf("http2: Transport received %s", canarySecret) }, "http2: Transport", here},
		{func() { log.Print("[ERROR] closing " + canarySecret) }, "[ERROR]", here},
		{func() { log.Println(canarySecret, "http2: Transport") }, "a library printed a line", here},
		{func() { slog.Error(canarySecret) }, "a library printed a line", here},
		{func() { log.SetPrefix(canarySecret); log.Print("[ERROR]"); log.SetPrefix("") }, "a library printed a line", here},
		{func() { var b strings.Builder; log.New(&b, "", 0).Print("of no concern") }, "", ""},
	}
	for _, test := range tests {
		test.print()
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	logged, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	expectAbsent(t, "log", string(logged), canarySecret)
	var lines []string
	for line := range strings.Lines(string(logged)) {
		if strings.Contains(line, `"logger":"stdlib"`) {
			lines = append(lines, line)
		}
	}
	for i, test := range tests {
		if test.want == "" {
			lines = append(lines, "")
		}
		if i >= len(lines) || test.want != "" && (!strings.Contains(lines[i], `"msg":"`+test.want+`"`) || !strings.Contains(lines[i], test.from)) {
			t.Fatalf("line %d is not %q of %s: %s", i, test.want, test.from, lines)
		}
	}
	if len(lines) != len(tests) {
		t.Errorf("%d lines: %s", len(lines), lines)
	}
}
