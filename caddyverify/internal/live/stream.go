package live

import (
	"net/http"
	"slices"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/history"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/status"
)

// hello begins a stream: what the page's charts show.
type hello struct {
	Version string `json:"version"`
	Hour    series `json:"hour"`
	Day     series `json:"day"`
	Events  past   `json:"events"` // the newest first
}

// now is told each second.
type now struct {
	Time          time.Time            `json:"time"`
	State         status.State         `json:"state"`
	Summary       string               `json:"summary"`
	Circuits      []status.Circuit     `json:"circuits"`
	Limit         status.Limit         `json:"limit"`
	Store         *status.Store        `json:"store,omitempty"`
	Cache         status.Cache         `json:"cache"`
	Verifications status.Verifications `json:"verifications"`
	Numbers       numbers              `json:"numbers"`
}

// more is told each five seconds: the last point of the hour's charts that is over, when
// that was in Unix time, the windows, and the guard.
type more struct {
	At      int64               `json:"at"`
	Point   map[string]*float64 `json:"point"`
	Windows []window            `json:"windows"`
	Guard   *status.Guard       `json:"guard,omitempty"`
}

// pointEvery is the step of the hour's charts.
const pointEvery = 5

// stream tells the page what changes, until its reader leaves.
func (p *Page) stream(w http.ResponseWriter, r *http.Request, account *gateway.Account) {
	if account == nil {
		http.Error(w, "the configuration has no verify handler", http.StatusNotFound)
		return
	}
	if r.Method == http.MethodHead {
		newStream(w)
		return
	}
	if err := ofPage.enter(); err != nil {
		w.Header().Set("Retry-After", "10")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer ofPage.leave()
	feed := newFeed([]*gateway.Account{account})
	defer feed.stop()
	out := newStream(w)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	out.write("retry: 1000\n")
	newest := append(past{}, feed.past[max(len(feed.past)-maxEvents, 0):]...)
	slices.Reverse(newest)
	out.send("hello", hello{p.Version, seriesOf(account, history.Hour), seriesOf(account, history.Day), newest})
	out.send("now", nowOf(account))
	out.send("more", moreOf(account))
	for seconds := 1; out.flush(); {
		select {
		case event := <-feed.events:
			if !feed.past.has(event) {
				out.send("event", event)
			}
		case <-tick.C:
			out.send("now", nowOf(account))
			if seconds++; seconds%pointEvery == 0 {
				out.send("more", moreOf(account))
			}
		case <-r.Context().Done():
			return
		case <-p.Done:
			return
		}
	}
}

func nowOf(account *gateway.Account) now {
	s := status.Of(account)
	return now{time.Now().UTC(), s.State, s.Summary, s.Circuits, s.Limit, s.Store, s.Cache, s.Verifications, numbersOf(account)}
}

func moreOf(account *gateway.Account) more {
	step, end, points := account.History().Series(history.QuarterHour)
	return more{end.Add(-step).Unix(), columns(&points[len(points)-2], step), windowsOf(account), guardOf(status.Of(account).Guard)}
}
