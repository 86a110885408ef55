package deploy

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// 57 MB without a store. The Redis client has a type for each step of each command, and whatever has text/template
	// in it, as Caddy has, keeps all their methods: 11 MB. Verify v2 is 1 MB.
	maxSize = 72_000_000
	nonroot = 65532
	// patience is for what comes about by itself, on a busy machine, too.
	patience = 2 * time.Minute
)

// compile is the Dockerfile's command, in a checkout and for an architecture.
func compile(t *testing.T, checkout, arch, output string) {
	t.Helper()
	line := regexp.MustCompile(`(?m)^RUN (CGO_ENABLED=0 .*go build.*)$`).FindStringSubmatch(read(t, "Dockerfile"))
	if line == nil {
		t.Fatal("the Dockerfile builds nothing")
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(line[1], "/layout/usr/bin/caddy", output, 1)) //nolint:gosec // our own file
	cmd.Dir = checkout
	cmd.Env = append(os.Environ(), "TARGETOS=linux", "TARGETARCH="+arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}

// layout is the image's root, as far as it is not distroless's.
type layout struct{ root string }

func newLayout(t *testing.T) layout {
	t.Helper()
	l := layout{t.TempDir()}
	for dir := l.root; dir != "/tmp" && dir != "/"; dir = filepath.Dir(dir) {
		_ = os.Chmod(dir, 0o755) //nolint:gosec // as an image's root is
	}
	for _, dir := range []string{"usr/bin", "etc/caddy", "run/secrets", "data", "config", "run/caddy-verify"} {
		if err := os.MkdirAll(filepath.Join(l.root, dir), 0o755); err != nil { //nolint:gosec // as an image's are
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"data", "config", "run/caddy-verify"} {
		if err := os.Chown(filepath.Join(l.root, dir), nonroot, nonroot); err != nil {
			t.Skip("not root: ", err)
		}
	}
	return l
}

func (l layout) write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(l.root, file), []byte(text), 0o644); err != nil { //nolint:gosec // as an image's are
		t.Fatal(err)
	}
}

// command runs the image's entry point as its user, who may write to three folders alone.
func (l layout) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/usr/bin/caddy", args...) //nolint:gosec // what was built
	cmd.Dir = "/"
	cmd.Env = []string{"XDG_DATA_HOME=/data", "XDG_CONFIG_HOME=/config"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: l.root, Credential: &syscall.Credential{Uid: nonroot, Gid: nonroot}}
	return cmd
}

// safeBuffer is written while it is read.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// start runs it, and ends it with the test.
func (l layout) start(t *testing.T, args ...string) (cmd *exec.Cmd, log *safeBuffer) {
	t.Helper()
	cmd, log = l.command(t, args...), new(safeBuffer)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%q: %s", args, log)
		}
	})
	return cmd, log
}

// healthy asks as HEALTHCHECK does, until it is so.
func (l layout) healthy(t *testing.T, url string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		out, err := l.command(t, "verify", "health", "--url", url).CombinedOutput()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v: %s", err, out)
		}
	}
}

func answer(t *testing.T, url, host string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// TestImage builds what the Dockerfile builds, for both architectures, and runs it as the image does.
func TestImage(t *testing.T) {
	l := newLayout(t)
	for _, arch := range []string{"amd64", "arm64"} {
		output := filepath.Join(t.TempDir(), arch)
		compile(t, "../..", arch, output)
		file, err := os.Stat(output)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %.1f MB", arch, float64(file.Size())/1e6)
		if file.Size() >= maxSize {
			t.Errorf("%s: %d bytes", arch, file.Size())
		}
		if arch == runtime.GOARCH {
			if err := os.Rename(output, filepath.Join(l.root, "usr/bin/caddy")); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Run("gateway", func(t *testing.T) { runGateway(t, l) })
	l.write(t, "etc/hosts", "127.0.0.1 localhost\n") // as Docker has it
	t.Run("compose", func(t *testing.T) { runCompose(t, l) })
	t.Run("tls", func(t *testing.T) { runTLS(t, l) })
}

// runTLS runs the example of docs/deployment.md, and trusts the certificate that it names.
func runTLS(t *testing.T, l layout) {
	page, err := os.ReadFile("../../docs/deployment.md")
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("(?s)```caddyfile\n(.*?)```").FindSubmatch(page)
	if example == nil {
		t.Fatal("docs/deployment.md has no example")
	}
	port := freePort(t)
	text := "{\nadmin off\n" + strings.TrimPrefix(string(example[1]), "{")
	l.write(t, "etc/caddy/Caddyfile", strings.Replace(text, ":8443", ":"+port, 1))
	l.write(t, "run/secrets/vonage_api_key", "abcdef01")
	l.write(t, "run/secrets/vonage_api_secret", "S3cret-of-the-gateway")
	l.start(t, "run", "--config", "/etc/caddy/Caddyfile")
	client := &http.Client{Timeout: patience}
	eventually(t, func() bool {
		root, err := os.ReadFile(filepath.Join(l.root, "data/caddy/pki/authorities/local/root.crt"))
		if err != nil {
			return false
		}
		trusted := x509.NewCertPool()
		trusted.AppendCertsFromPEM(root)
		client.Transport = &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: trusted, ServerName: "verify.internal", MinVersion: tls.VersionTLS12}}
		response, err := client.Get("https://127.0.0.1:" + port + "/verify/search/json")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

func runGateway(t *testing.T, l layout) {
	port := freePort(t)
	url := "http://127.0.0.1:" + port
	l.write(t, "etc/caddy/Caddyfile", strings.Replace(read(t, "Caddyfile"), "\n:8080 {", "\nhttp://:"+port+" {", 1))
	l.write(t, "run/secrets/vonage_api_key", "abcdef01")
	l.write(t, "run/secrets/vonage_api_secret", "S3cret-of-the-gateway")
	gateway, log := l.start(t, "run", "--config", "/etc/caddy/Caddyfile")
	l.healthy(t, url+"/health/ready")

	if code, body := answer(t, url+"/verify/search/json?request_id=a", "verify.internal"); code != http.StatusOK || !strings.Contains(body, `"status"`) {
		t.Errorf("a search is answered with %d %s", code, body)
	}
	if code, _ := answer(t, url+"/verify/search/json?request_id=a", "evil.example"); code != http.StatusMisdirectedRequest {
		t.Errorf("by another name it is answered with %d", code)
	}
	socket, err := os.Stat(filepath.Join(l.root, "run/caddy-verify/admin.sock"))
	if err != nil || socket.Mode().Perm() != 0o600 {
		t.Errorf("the admin API's socket: %v, %v", socket, err)
	}

	// As the unit's ExecReload does.
	if err := gateway.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return strings.Contains(log.String(), "successfully reloaded config") })
	if err := gateway.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		code, body := answer(t, url+"/health/ready", "")
		return code == http.StatusServiceUnavailable && strings.Contains(body, "stopping")
	})
	if code, _ := answer(t, url+"/verify/search/json?request_id=a", "verify.internal"); code != http.StatusOK {
		t.Errorf("during shutdown_delay a search is answered with %d", code)
	}
	if err := gateway.Wait(); err != nil {
		t.Errorf("it ends with %v", err)
	}
}

// runCompose runs the gateway, the sandbox and the traffic of compose.yaml, on other ports.
func runCompose(t *testing.T, l layout) {
	port, behind := freePort(t), freePort(t)
	l.write(t, "etc/caddy/Caddyfile", strings.NewReplacer("\n:8080 {", "\nhttp://:"+port+" {", ":8081", ":"+behind).Replace(read(t, "compose.Caddyfile")))
	l.start(t, "verify", "sandbox", "--listen", ":"+behind, "--credentials", "demo-key:demo-secret-of-the-gateway", "--code", "1234")
	l.start(t, "run", "--config", "/etc/caddy/Caddyfile")
	l.healthy(t, "http://127.0.0.1:"+behind+"/sandbox/calls")
	l.healthy(t, "http://127.0.0.1:"+port+"/health/ready")
	l.start(t, "verify", "traffic", "--gateway", "http://localhost:"+port, "--code", "1234", "--rate", "10/s", "--speed", "20")
	succeeded := regexp.MustCompile(`(?m)^verify_verifications_finished_total\{.*outcome="success".*\} [1-9]`)
	eventually(t, func() bool {
		_, body := answer(t, "http://localhost:"+port+"/metrics", "localhost")
		return succeeded.MatchString(body)
	})
}

func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come about")
		}
	}
}

// TestReproducible builds the commit in two folders.
func TestReproducible(t *testing.T) {
	var sums [2]string
	for i := range sums {
		checkout := filepath.Join(t.TempDir(), fmt.Sprint("checkout", i))
		if out, err := exec.CommandContext(t.Context(), "git", "clone", "--quiet", "--shared", "../..", checkout).CombinedOutput(); err != nil { //nolint:gosec // a folder of our own
			t.Fatalf("%v: %s", err, out)
		}
		output := filepath.Join(t.TempDir(), "caddy")
		compile(t, checkout, "amd64", output)
		content, err := os.ReadFile(output)
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = fmt.Sprintf("%x", sha256.Sum256(content))
	}
	if sums[0] != sums[1] {
		t.Errorf("the builds are %v", sums)
	}
}
