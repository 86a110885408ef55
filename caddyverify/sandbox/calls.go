package sandbox

import (
	"encoding/json"
	"net/http"
	"time"
)

// CallsPath is where a GET tells, in JSON, what the sandbox has received: how
// many calls of each operation, how many verifications were started, and the
// latest calls. Neither secrets nor parameters are told.
const CallsPath = "/sandbox/calls"

// latestCalls is how many calls CallsPath tells of one by one.
const latestCalls = 100

type callsReport struct {
	Received      map[string]int `json:"received"`
	Verifications int            `json:"verifications"`
	Latest        []reportedCall `json:"latest"`
}

type reportedCall struct {
	Time        time.Time `json:"time"`
	Operation   string    `json:"operation"`
	Format      string    `json:"format"`
	Method      string    `json:"method"`
	Credentials []string  `json:"credentials"`
	APIKey      string    `json:"api_key"`
	RequestID   string    `json:"request_id,omitempty"`
	HTTPStatus  int       `json:"http_status"`
	Status      string    `json:"status"`
	Fault       string    `json:"fault,omitempty"`
}

func (s *Sandbox) serveCalls(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "Use GET.", http.StatusMethodNotAllowed)
		return
	}
	report := callsReport{Received: map[string]int{"request": 0, "check": 0, "search": 0, "control": 0}}
	calls := s.Calls()
	s.mu.Lock()
	report.Verifications = s.verifications.accepted
	for operation, n := range s.record.received {
		report.Received[operation] = n
	}
	s.mu.Unlock()
	report.Latest = make([]reportedCall, 0, latestCalls)
	for _, c := range calls[max(0, len(calls)-latestCalls):] {
		report.Latest = append(report.Latest, reportedCall{
			c.Time, c.Operation, c.Format, c.Method, c.Credentials, c.APIKey, c.RequestID, c.HTTPStatus, c.Status, c.Fault,
		})
	}
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(report) // a client that left has nothing to be told
}
