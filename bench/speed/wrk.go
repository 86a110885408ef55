package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

//go:embed wrk.lua
var wrkScript []byte

// load is what wrk did in one run.
type load struct {
	Requests     int   `json:"requests"`
	Micros       int64 `json:"micros"`
	Non2xx       int   `json:"non_2xx"`
	SocketErrors int   `json:"socket_errors"`
	P50          int64 `json:"p50"` // in µs, like those below
	P99          int64 `json:"p99"`
	P9999        int64 `json:"p9999"`
}

// call runs wrk against a side.
func (b *bench) call(ctx context.Context, w string, run int, s *side, d time.Duration) (load, error) {
	wrk := exec.CommandContext(ctx, b.wrk, "-t1", "-c"+strconv.Itoa(b.connections),
		"-d"+strconv.Itoa(int(d.Seconds()))+"s", "-s", b.file("wrk.lua"), s.url, "--", w, strconv.Itoa(run), b.file("ids"))
	said, err := wrk.CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("%w\n%s", err, said)
	}
	return readLoad(string(said))
}

// readLoad finds the line of wrk.lua in what wrk says.
func readLoad(said string) (l load, err error) {
	for line := range strings.Lines(said) {
		if !strings.HasPrefix(line, "{") {
			continue
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			return load{}, fmt.Errorf("wrk.lua's line: %w", err)
		}
		if l.Requests == 0 || l.Micros == 0 {
			return load{}, errors.New("not one call was answered")
		}
		return l, nil
	}
	return load{}, errors.New("no line of wrk.lua in:\n" + said)
}
