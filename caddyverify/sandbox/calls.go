package sandbox

import (
	"maps"
	"net/http"
	"time"
)

// CallsPath is where a GET tells, in JSON, what the sandbox has received: how
// many calls of each operation, how many verifications were started, the latest
// calls with the codes that they sent, and the latest verifications with the code to
// enter; in v2 the latest webhooks, too. Neither secrets nor parameters are told.
const CallsPath = "/sandbox/calls"

// latest is how many calls and verifications CallsPath tells of one by one.
const latest = 100

type callsReport struct {
	Received            map[string]int         `json:"received"`
	Verifications       int                    `json:"verifications"`
	LatestVerifications []reportedVerification `json:"latest_verifications"`
	Latest              []reportedCall         `json:"latest"`
	Webhooks            []reportedWebhook      `json:"webhooks,omitempty"` // the latest
}

type reportedVerification struct {
	API       string    `json:"api"`
	Submitted time.Time `json:"submitted"`
	RequestID string    `json:"request_id"`
	Status    string    `json:"status"`
	Code      string    `json:"code"`
	Events    []string  `json:"events"`
}

type reportedCall struct {
	Time        time.Time `json:"time"`
	API         string    `json:"api"`
	Operation   string    `json:"operation"`
	Format      string    `json:"format"`
	Method      string    `json:"method"`
	Credentials []string  `json:"credentials"`
	APIKey      string    `json:"api_key"`
	RequestID   string    `json:"request_id,omitempty"`
	HTTPStatus  int       `json:"http_status"`
	Status      string    `json:"status"`
	Fault       string    `json:"fault,omitempty"`
	Code        string    `json:"code,omitempty"`
	Note        string    `json:"note,omitempty"`
}

type reportedWebhook struct {
	Time       time.Time `json:"time"`
	RequestID  string    `json:"request_id"`
	Type       string    `json:"type"`
	Status     string    `json:"status"`
	Again      bool      `json:"again,omitempty"`
	HTTPStatus int       `json:"http_status"`
	Fault      string    `json:"fault,omitempty"`
}

func (s *Sandbox) serveCalls(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "Use GET.", http.StatusMethodNotAllowed)
		return
	}
	report := callsReport{Received: map[string]int{"request": 0, "check": 0, "search": 0, "control": 0}}
	calls, verifications := s.Calls(), s.Verifications()
	s.mu.Lock()
	report.Verifications = s.verifications.accepted
	maps.Copy(report.Received, s.record.received)
	s.mu.Unlock()
	report.LatestVerifications = make([]reportedVerification, 0, latest)
	for _, v := range verifications[max(0, len(verifications)-latest):] {
		report.LatestVerifications = append(report.LatestVerifications, reportedVerification{v.API, v.Submitted, v.RequestID, v.Status, v.Code, v.Events})
	}
	report.Latest = make([]reportedCall, 0, latest)
	for _, c := range calls[max(0, len(calls)-latest):] {
		report.Latest = append(report.Latest, reportedCall{
			c.Time, c.API, c.Operation, c.Format, c.Method, c.Credentials, c.APIKey, c.RequestID, c.HTTPStatus, c.Status, c.Fault, c.Code, gatewayHolds[c.Status],
		})
	}
	webhooks := s.Webhooks()
	for _, h := range webhooks[max(0, len(webhooks)-latest):] {
		report.Webhooks = append(report.Webhooks, reportedWebhook{h.Time, h.RequestID, h.Type, h.Status, h.Again, h.HTTPStatus, h.Fault})
	}
	writeJSON(w, http.StatusOK, report)
}
