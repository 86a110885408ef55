// Package traffic makes calls as the applications of a company do: verifications that
// users complete, mistype, give up or let run out, and searches for what became of them.
// It is for a gateway with a sandbox behind it, so that dashboards have something to show.
package traffic

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what traffic goes where.
type Config struct {
	// Gateway is the URL that the paths of the API are appended to. Required.
	Gateway string
	// Sandbox is the URL of the sandbox behind it, which tells the codes to enter at
	// /sandbox/calls. Default: all users know Code.
	Sandbox string
	// Code is the right code of every verification. Required without Sandbox.
	Code string
	// Rate is how many verifications are started a second, on average over a Day: above
	// 0, at most 100. Default: 1.
	Rate float64
	// Day is the time from one rush hour to the next. At the rush 1.6 times as many
	// verifications are started as on average, half a Day later 0.4 times. Default: 24 h.
	Day time.Duration
	// Speed is how many times as fast as people the users are: the Speed of the sandbox.
	// Default: 1.
	Speed float64
	// Seed makes traffic repeat: the same numbers, users and moments. Default: 0.
	Seed uint64
	// Transport makes the calls. Default: http.DefaultTransport.
	Transport http.RoundTripper
	// Progress is told each minute, and at the end, what has been done so far. Default: nobody is.
	Progress func(Counts)
}

// Counts tell what has been done. Calls of the last seconds may not be in all of them.
type Counts struct {
	// Started verifications, of which Succeeded with the right code.
	Started, Succeeded int64
	// Refused are the calls with a status other than those that users bring about, and
	// Failed those without an answer of the API.
	Refused, Failed int64
}

const (
	maxRate   = 100
	callTime  = 30 * time.Second
	tellEvery = time.Minute
)

// errConfig begins the errors of Run.
var errConfig = errors.New("traffic")

// Run makes traffic until ctx is done, and then returns when its last call has ended. It
// returns an error if a setting is none, and none for calls that fail: the gateway may
// come later, and go.
func Run(ctx context.Context, c Config) error {
	r, err := newRunner(c)
	if err != nil {
		return err
	}
	defer r.tell()
	var all sync.WaitGroup
	defer all.Wait()
	begin, told := time.Now(), time.Now()
	for i := uint64(0); ; i++ {
		p := planOf(r.Seed, i)
		if !sleep(ctx, r.pause(p.gap, time.Since(begin))) {
			return nil
		}
		all.Go(func() { r.verify(ctx, p) })
		if time.Since(told) >= tellEvery {
			told = time.Now()
			r.tell()
		}
	}
}

type runner struct {
	Config
	client                              *http.Client
	started, succeeded, refused, failed atomic.Int64
}

func newRunner(c Config) (*runner, error) {
	for name, address := range map[string]string{"gateway": c.Gateway, "sandbox": c.Sandbox} {
		u, err := url.Parse(address)
		if name == "sandbox" && address == "" {
			continue
		}
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("%w: %s: write a URL such as http://localhost:8080", errConfig, name)
		}
	}
	c.Gateway, c.Sandbox = strings.TrimSuffix(c.Gateway, "/"), strings.TrimSuffix(c.Sandbox, "/")
	c.Rate, c.Day, c.Speed = cmp.Or(c.Rate, 1), cmp.Or(c.Day, 24*time.Hour), cmp.Or(c.Speed, 1)
	switch {
	case c.Code == "" && c.Sandbox == "":
		return nil, fmt.Errorf("%w: without the right code, or the URL of the sandbox that tells it, no user would get in", errConfig)
	case !(c.Rate > 0 && c.Rate <= maxRate):
		return nil, fmt.Errorf("%w: rate: write a number above 0 and up to %d, such as 1", errConfig, maxRate)
	case c.Day <= 0, !(c.Speed > 0):
		return nil, fmt.Errorf("%w: day and speed: write something above 0", errConfig)
	}
	return &runner{Config: c, client: &http.Client{Transport: c.Transport, Timeout: callTime}}, nil
}

// pause is the time until the next start. gap is that of an average of 1.
func (r *runner) pause(gap float64, since time.Duration) time.Duration {
	rush := 1 + 0.6*math.Sin(2*math.Pi*since.Seconds()/r.Day.Seconds())
	return time.Duration(gap / r.Rate / rush * float64(time.Second))
}

func (r *runner) tell() {
	if r.Progress != nil {
		r.Progress(Counts{r.started.Load(), r.succeeded.Load(), r.refused.Load(), r.failed.Load()})
	}
}

// sleep tells whether it was not cut short.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
