//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// fleetCall is what an application asks for.
type fleetCall struct {
	app, operation, format, key string
	params                      url.Values
}

// fleetAnswer is what it reads.
type fleetAnswer struct {
	RequestID string        `json:"request_id" xml:"request_id"`
	Status    string        `json:"status" xml:"status"`
	Text      string        `json:"error_text" xml:"error_text"`
	Checks    []fleetCheck  `json:"checks" xml:"checks>check"`
	List      []fleetAnswer `json:"verification_requests" xml:"verify_request"`

	code         int
	cache, proxy string // headers
	took         time.Duration
}

type fleetCheck struct {
	Code   string `json:"code" xml:"code"`
	Status string `json:"status" xml:"status"`
}

// limited tells that the rate did not let the call through.
func (a *fleetAnswer) limited() bool { return strings.Contains(a.proxy, "limit_reached") }

func (a *fleetAnswer) String() string {
	return fmt.Sprintf("HTTP %d, status %q, %s (%s; %s)", a.code, a.Status, a.Text, a.cache, a.proxy)
}

// at makes a call at a gateway.
func (f *fleet) at(ctx context.Context, m *member, c fleetCall) (*fleetAnswer, error) {
	m.underWay.Add(1)
	defer m.underWay.Add(-1)
	h := how{format: c.format, place: "form", key: c.key}
	request, err := h.request("http://"+m.address+paths[c.operation]+c.format, c.params)
	if err != nil {
		return nil, err
	}
	request.Header.Set("X-App", c.app)
	begun := time.Now()
	response, err := f.client.Do(request.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	a := &fleetAnswer{
		code: response.StatusCode, cache: response.Header.Get("Cache-Status"), proxy: response.Header.Get("Proxy-Status"),
		took: time.Since(begun),
	}
	decode := json.Unmarshal
	if c.format == "xml" {
		decode = xml.Unmarshal
	}
	if err := decode(text, a); err != nil || a.code != http.StatusOK || a.Status == "" && len(a.List) == 0 {
		return nil, fmt.Errorf("%s: HTTP %d, %v: %s", c.operation, a.code, err, text)
	}
	if strings.Contains(a.cache, "alone") {
		f.alone.Add(1)
	}
	return a, nil
}

// fault reports one, but not hundreds of a kind.
func (f *fleet) fault(format string, args ...any) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.doubtful.Load() {
		f.t.Logf(format, args...)
		return
	}
	switch f.faults[format]++; f.faults[format] {
	case 1, 2, 3, 4, 5:
		f.t.Errorf(format, args...)
	case 6:
		f.t.Errorf("and so on: "+format, args...)
	}
}

// together waits until the gateways share what they know: a key is sent once, and no search is made alone. It returns how
// long that took: mostly a second or two, on a busy machine as long as the store is mostly late with its answers.
func (f *fleet) together() time.Duration {
	f.t.Helper()
	var last error
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(50 * time.Millisecond) {
		at := time.Since(begun)
		if last = f.shares(); last == nil {
			return at
		}
	}
	f.fault("the gateways do not share what they know after %s: %v", patience, last)
	return patience
}

func (f *fleet) shares() error {
	f.probes++
	for i, m := range f.members {
		next := f.members[(i+1)%len(f.members)]
		key := fleetCall{
			app: fleetApps[0], operation: "request", format: "json", key: fmt.Sprintf("probe-%d-%d", f.probes, i),
			params: url.Values{"brand": {"Acme"}, "number": {fmt.Sprintf("447714%04d%02d", f.probes, i)}},
		}
		first, err := f.at(f.t.Context(), m, key)
		if err != nil {
			return err
		}
		again, err := f.at(f.t.Context(), next, key)
		if err != nil {
			return err
		}
		if first.Status != "0" || first.RequestID != again.RequestID {
			return fmt.Errorf("the same key is answered %v, and then %v", first, again)
		}
		search, err := f.at(f.t.Context(), m, fleetCall{
			app: fleetApps[0], operation: "search", format: "json", params: url.Values{"request_id": {first.RequestID}},
		})
		if err != nil || search.Status != "IN PROGRESS" || strings.Contains(search.cache, "alone") {
			return fmt.Errorf("a search is answered %v (%v)", search, err)
		}
	}
	return nil
}
