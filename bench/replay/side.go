package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// side is one of those compared: a proxy, its upstream and the apps that call it.
type side struct {
	name     string
	url      string
	upstream *upstream
	client   *http.Client
	apps     []*app

	mu      sync.Mutex
	asked   int            // searches that the apps made
	stale   int            // of these, how many told of a state from before a check or control
	latest  time.Duration  // the longest after it
	expired time.Duration  // the longest from the end of a code to when an app saw it
	slowest time.Duration  // to answer a search
	late    int            // rounds of polling skipped since the machine was too slow
	failed  map[string]int // by what went wrong
}

// newSide makes a side whose apps use these SDKs, in turn.
func newSide(o options, name, url string, up *upstream, sdks ...sdk) *side {
	s := &side{
		name: name, url: url, upstream: up, failed: map[string]int{},
		client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 256, MaxConnsPerHost: 256}},
	}
	for i := range o.apps {
		s.apps = append(s.apps, newApp(s, o, i, sdks[i%len(sdks)]))
	}
	s.apps = append(s.apps, newDashboard(s, o, sdks[0]))
	return s
}

// live begins a verification and does what its user does.
func (s *side) live(ctx context.Context, o options, i int, l life) {
	a := s.post(ctx, "", url.Values{
		"number": {number(i)}, "brand": {"Acme"}, "workflow_id": {"6"},
		"pin_expiry": {strconv.Itoa(int(pinExpiry.Seconds()))},
	})
	if a.Status != "0" || a.RequestID == "" {
		s.fail(ctx, a.refused("request"))
		return
	}
	begun := time.Now()
	v := &verification{id: a.RequestID, expires: begun.Add(o.real(pinExpiry))}
	for _, app := range s.apps {
		app.add(i, v)
	}
	for _, step := range l.steps {
		if !sleepUntil(ctx, begun.Add(o.real(step.after))) {
			return
		}
		if step.code == "" {
			if a := s.post(ctx, "control/", url.Values{"request_id": {v.id}, "cmd": {"cancel"}}); a.Status == "0" {
				v.learn(0, "CANCELLED")
			} else {
				s.fail(ctx, a.refused("control"))
			}
			continue
		}
		switch a := s.post(ctx, "check/", url.Values{"request_id": {v.id}, "code": {step.code}}); a.Status {
		case "0":
			v.learn(1, "SUCCESS")
		case "16":
			v.learn(1, "")
		case "17":
			v.learn(1, "FAILED")
		default:
			s.fail(ctx, a.refused("check"))
		}
	}
}

// post makes any call but a search.
func (s *side) post(ctx context.Context, operation string, form url.Values) (a state) {
	body := credentials.Encode() + "&" + form.Encode()
	r, err := http.NewRequest(http.MethodPost, s.url+"/verify/"+operation+"json", strings.NewReader(body))
	if err != nil {
		s.fail(ctx, err.Error())
		return a
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	s.do(ctx, r, &a)
	return a
}

// do sends a request and reads the JSON that comes back.
func (s *side) do(ctx context.Context, r *http.Request, answer any) bool {
	response, err := s.client.Do(r.WithContext(ctx))
	if err == nil {
		var body []byte
		body, err = io.ReadAll(response.Body) // to its end, or the connection could not be used again
		response.Body.Close()
		if err == nil {
			err = json.Unmarshal(body, answer)
		}
		if response.StatusCode != http.StatusOK {
			err = fmt.Errorf("HTTP %d", response.StatusCode)
		}
	}
	if err != nil {
		if sent, ok := errors.AsType[*url.Error](err); ok {
			err = sent.Err
		}
		s.fail(ctx, r.URL.Path+": "+err.Error())
	}
	return err == nil
}

// fail notes what went wrong, unless the replay is over.
func (s *side) fail(ctx context.Context, what string) {
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed[what]++
}

// failures is an error that tells what went wrong and how often, or nil.
func (s *side) failures() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all error
	for what, n := range s.failed {
		all = errors.Join(all, fmt.Errorf("%s: %d × %s", s.name, n, what))
	}
	return all
}

// count notes a search and how long it took; late is how long after a check or
// control it told of a state from before, 0 if it did not.
func (s *side) count(took, late time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	s.slowest = max(s.slowest, took)
	if late > 0 {
		s.stale++
		s.latest = max(s.latest, late)
	}
}

// sawExpired notes when an app saw for the first time that a code's time was over.
func (s *side) sawExpired(after time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expired = max(s.expired, after)
}

func (s *side) skipped(rounds int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.late += rounds
}
