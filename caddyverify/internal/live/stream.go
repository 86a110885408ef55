package live

import (
	"net/http"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/history"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/status"
)

// hello begins a stream: what the page's charts show.
type hello struct {
	Hour   series         `json:"hour"`
	Day    series         `json:"day"`
	Events []status.Event `json:"events"` // the newest first
}

// now is told each second.
type now struct {
	Time          time.Time            `json:"time"`
	State         status.State         `json:"state"`
	Summary       string               `json:"summary"`
	Circuits      []status.Circuit     `json:"circuits"`
	Limit         status.Limit         `json:"limit"`
	Cache         status.Cache         `json:"cache"`
	Verifications status.Verifications `json:"verifications"`
	Numbers       numbers              `json:"numbers"`
}

// more is told each five seconds: the next point of the hour's charts, and the windows.
type more struct {
	Point   map[string]*float64 `json:"point"`
	Windows []window            `json:"windows"`
}

// pointEvery is the step of the hour's charts.
const pointEvery = 5

// stream tells the page what changes, until its reader leaves.
func (p *Page) stream(w http.ResponseWriter, r *http.Request, account *gateway.Account) {
	if account == nil {
		http.Error(w, "the configuration has no verify handler", http.StatusNotFound)
		return
	}
	feed := newFeed([]*gateway.Account{account})
	defer feed.stop()
	out := newStream(w)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	out.send("hello", hello{seriesOf(account, history.Hour), seriesOf(account, history.Day), eventsOf(account)})
	out.send("now", nowOf(account))
	out.send("more", moreOf(account))
	for seconds := 1; out.flush(); {
		select {
		case event := <-feed.events:
			out.send("event", event)
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
	return now{time.Now().UTC(), s.State, s.Summary, s.Circuits, s.Limit, s.Cache, s.Verifications, numbersOf(account)}
}

func moreOf(account *gateway.Account) more {
	step, points := account.History().Series(history.QuarterHour)
	// The last but one: the present one is not over yet.
	return more{columns(&points[max(len(points)-2, 0)], step), windowsOf(account)}
}
