package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("../../deploy", file))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// seconds is a duration of deploy/Caddyfile.
func seconds(t *testing.T, option string) int64 {
	t.Helper()
	found := regexp.MustCompile(option + ` (\d+)s\n`).FindStringSubmatch(read(t, "Caddyfile"))
	if found == nil {
		t.Fatalf("deploy/Caddyfile has no %s", option)
	}
	n, _ := strconv.ParseInt(found[1], 10, 64)
	return n
}

// TestUnit has systemd wait for as long as Caddy may need.
func TestUnit(t *testing.T) {
	unit := read(t, "systemd/caddy-verify.service")
	stop := regexp.MustCompile(`(?m)^TimeoutStopSec=(\d+)s$`).FindStringSubmatch(unit)
	if stop == nil {
		t.Fatal("there is no TimeoutStopSec")
	}
	if n, _ := strconv.ParseInt(stop[1], 10, 64); n <= seconds(t, "shutdown_delay")+seconds(t, "grace_period") {
		t.Errorf("systemd kills it after %d s", n)
	}
}

// TestCompose looks for each file that is mounted, and for a version of each image.
func TestCompose(t *testing.T) {
	var compose struct {
		Services map[string]struct {
			Image       string
			Build       struct{ Context, Dockerfile string }
			Command     []string
			Volumes     []string
			NetworkMode string `yaml:"network_mode"`
			Ports       []string
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(read(t, "compose.yaml")))
	if err := decoder.Decode(&compose); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gateway", "sandbox", "traffic", "prometheus", "collector", "jaeger", "grafana"} {
		if _, there := compose.Services[name]; !there {
			t.Errorf("there is no service %s", name)
		}
	}
	for name, service := range compose.Services {
		_, version, _ := strings.Cut(service.Image, ":")
		if own := service.Image == "caddy-verify"; !own && (version == "" || version == "latest") {
			t.Errorf("%s: the image %s has no version", name, service.Image)
		}
		if name != "gateway" && service.NetworkMode != "service:gateway" {
			t.Errorf("%s has another network, and the files say localhost", name)
		}
		for _, port := range service.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: port %s is open to others", name, port)
			}
		}
		mounted := map[string]string{}
		for _, volume := range service.Volumes {
			from, rest, _ := strings.Cut(volume, ":")
			to, mode, _ := strings.Cut(rest, ":")
			mounted[to] = filepath.Join("../../deploy", from)
			if _, err := os.Stat(mounted[to]); err != nil || mode != "ro" {
				t.Errorf("%s: %s: %v", name, volume, err)
			}
		}
		for _, argument := range service.Command {
			_, path, ok := strings.Cut(argument, "--config")
			if path = strings.TrimLeft(path, ".file="); !ok || !strings.HasPrefix(path, "/") {
				continue
			}
			for to, from := range mounted {
				if rest, inside := strings.CutPrefix(path, to); inside {
					if _, err := os.Stat(from + rest); err != nil {
						t.Errorf("%s: %s: %v", name, argument, err)
					}
					path = ""
				}
			}
			if path != "" {
				t.Errorf("%s: %s is mounted from nowhere", name, argument)
			}
		}
	}
	if build := compose.Services["gateway"].Build; filepath.Join("../../deploy", build.Context, build.Dockerfile) != "../../deploy/Dockerfile" {
		t.Errorf("it is built from %+v", build)
	}
}

// TestDockerfile is what matters of hadolint's rules, and of the build.
func TestDockerfile(t *testing.T) {
	text := read(t, "Dockerfile")
	var last string
	for line := range strings.Lines(text) {
		instruction, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch instruction {
		case "FROM":
			last = rest
			image := strings.Fields(strings.TrimPrefix(rest, "--platform=$BUILDPLATFORM "))[0]
			if _, tag, _ := strings.Cut(image, ":"); tag == "" || tag == "latest" {
				t.Errorf("%s has no version", image)
			}
		case "USER":
			if rest != "65532:65532" {
				t.Errorf("it runs as %s", rest)
			}
		case "ADD", "MAINTAINER", "SHELL":
			t.Errorf("%s has no place here", instruction)
		case "CMD", "ENTRYPOINT":
			if !strings.HasPrefix(rest, "[") {
				t.Errorf("there is no shell for %s", line)
			}
		case "COPY":
			for from := range strings.FieldsSeq(rest) {
				if strings.HasPrefix(from, "--") || strings.HasPrefix(from, "/") || strings.HasPrefix(from, ".") {
					continue
				}
				if _, err := os.Stat(filepath.Join("../..", from)); err != nil {
					t.Error(err)
				}
			}
		}
	}
	if !strings.Contains(last, "nonroot") {
		t.Errorf("the image is made from %s", last)
	}
	toolchain, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^toolchain go(.*)$`).FindSubmatch(toolchain)
	if !strings.Contains(text, "golang:"+string(version[1])+"-") {
		t.Errorf("it is not built with Go %s", version[1])
	}
	for _, needed := range []string{"\nUSER ", "\nHEALTHCHECK ", "CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -tags=nobadger,nomysql,nopgx "} {
		if !strings.Contains(text, needed) {
			t.Errorf("there is no %q", needed)
		}
	}
}
