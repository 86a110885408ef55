package traffic

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	// beforeCancel is the least time after which the API takes cmd=cancel.
	beforeCancel = 31.0
	maxAnswer    = 1 << 20
	// wrong is no code that anybody was sent: those of a sandbox have four to ten digits.
	wrong = "00000a"
)

// expected are the statuses that users bring about: success, the same number again, a
// wrong code, one too many, too late.
var expected = []string{"0", "10", "16", "17", "6", "19"}

// verify is one verification from its start to its end.
func (r *runner) verify(ctx context.Context, p plan) {
	answer, ok := r.call(ctx, "/verify/json", url.Values{"number": {p.number}, "brand": {p.brand}})
	if !ok || answer.Status != "0" {
		return
	}
	r.started.Add(1)
	id, code := url.Values{"request_id": {answer.RequestID}}, r.codeOf(ctx, answer.RequestID)
	for _, entry := range p.codes {
		entered := wrong
		if entry.right {
			entered = code
		}
		if !r.think(ctx, p, id, entry.after) || !r.enter(ctx, answer.RequestID, entered) {
			return
		}
	}
	if p.cancel {
		if !r.think(ctx, p, id, beforeCancel) {
			return
		}
		r.call(ctx, "/verify/control/json", url.Values{"request_id": {answer.RequestID}, "cmd": {"cancel"}})
	}
	if p.asks && r.wait(ctx, 5) {
		r.call(ctx, "/verify/search/json", id)
	}
}

// think passes the time that a user takes, in which the application may look how things
// are.
func (r *runner) think(ctx context.Context, p plan, id url.Values, seconds float64) bool {
	for range p.polls {
		if !r.wait(ctx, seconds/float64(p.polls+1)) {
			return false
		}
		r.call(ctx, "/verify/search/json", id)
	}
	return r.wait(ctx, seconds/float64(p.polls+1))
}

// enter checks a code, and tells whether it was answered.
func (r *runner) enter(ctx context.Context, id, code string) bool {
	answer, ok := r.call(ctx, "/verify/check/json", url.Values{"request_id": {id}, "code": {code}})
	if ok && answer.Status == "0" {
		r.succeeded.Add(1)
	}
	return ok
}

// codeOf is what the user has been sent; no right code if that is not to be had.
func (r *runner) codeOf(ctx context.Context, id string) string {
	if r.Sandbox == "" {
		return r.Code
	}
	var report struct {
		Latest []struct {
			RequestID string `json:"request_id"`
			Code      string `json:"code"`
		} `json:"latest_verifications"`
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.Sandbox+"/sandbox/calls", nil)
	if err == nil {
		err = r.do(request, &report)
	}
	if err != nil {
		r.failed.Add(1)
	}
	for _, v := range report.Latest {
		if v.RequestID == id {
			return v.Code
		}
	}
	return wrong
}

// answer is what all answers have.
type answer struct {
	Status    string `json:"status"`
	RequestID string `json:"request_id"`
}

// call makes one of the API's, and counts what is not as it should be.
func (r *runner) call(ctx context.Context, path string, values url.Values) (a answer, ok bool) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.Gateway+path, strings.NewReader(values.Encode()))
	if err == nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		err = r.do(request, &a)
	}
	switch {
	case ctx.Err() != nil:
		return a, false
	case err != nil || a.Status == "":
		r.failed.Add(1)
		return a, false
	case !word(a.Status) && !slices.Contains(expected, a.Status):
		r.refused.Add(1)
	}
	return a, true
}

// word tells that a status is that of a search: SUCCESS, IN PROGRESS and so on.
func word(status string) bool { return status[0] >= 'A' }

func (r *runner) do(request *http.Request, to any) error {
	response, err := r.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body := io.LimitReader(response.Body, maxAnswer)
	defer func() { _, _ = io.Copy(io.Discard, body) }() // so that the connection is used again
	return json.NewDecoder(body).Decode(to)
}

// wait passes a user's time.
func (r *runner) wait(ctx context.Context, seconds float64) bool {
	return sleep(ctx, time.Duration(seconds/r.Speed*float64(time.Second)))
}
