package sandbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"time"
)

// message is the body of a webhook, an event or a summary.
type message struct {
	RequestID      string        `json:"request_id"`
	TriggeredAt    string        `json:"triggered_at,omitempty"`
	SubmittedAt    string        `json:"submitted_at,omitempty"`
	Status         string        `json:"status"`
	Type           string        `json:"type"`
	Channel        string        `json:"channel,omitempty"`
	ChannelTimeout int           `json:"channel_timeout,omitempty"`
	Workflow       []messageStep `json:"workflow,omitempty"`
	Action         any           `json:"action,omitempty"`
	Price          string        `json:"price,omitempty"`
	FinalizedAt    string        `json:"finalized_at,omitempty"`
	ClientRef      string        `json:"client_ref,omitempty"`
}

type messageStep struct {
	Channel     string `json:"channel"`
	InitiatedAt string `json:"initiated_at,omitempty"`
	Status      string `json:"status"`
	Reason      string `json:"reason,omitempty"`
}

type messageAction struct {
	Type     string `json:"type"`
	CheckURL string `json:"check_url"`
}

func (m message) encode() []byte {
	text, _ := json.Marshal(m) // cannot fail
	return text
}

// eventOf tells of a step that has ended.
func (w *webhooks) eventOf(v *verification, e event) message {
	return message{
		RequestID: v.id, TriggeredAt: w.timestamp(e.at), Type: "event", Channel: e.kind, Status: e.outcome,
		FinalizedAt: w.timestamp(e.ended), ClientRef: v.clientRef,
	}
}

// actionPending tells of a step for the handset, the action now in a list, now not.
func (w *webhooks) actionPending(v *verification) message {
	m := message{RequestID: v.id, TriggeredAt: w.timestamp(v.submitted), Type: "event", Channel: "silent_auth", Status: "action_pending", ClientRef: v.clientRef}
	action := messageAction{"check", v.checkURL}
	if m.Action = action; w.told%2 == 1 {
		m.Action = []messageAction{action}
	}
	return m
}

// summaryOf tells of a verification that has ended; every other time with a price and
// when that was, which are in some documents.
func (w *webhooks) summaryOf(v *verification) message {
	m := message{
		RequestID: v.id, SubmittedAt: w.timestamp(v.submitted), Status: v.outcome(), Type: "summary",
		ChannelTimeout: int(v.timeout.Seconds()), ClientRef: v.clientRef,
	}
	for i, s := range v.steps {
		step := messageStep{Channel: s.kind, Status: "unused"}
		if i < len(v.events) {
			step.InitiatedAt, step.Status = w.timestamp(v.events[i].at), v.events[i].outcome
		}
		if step.Status == "blocked" {
			step.Reason = "Fraudulent traffic detected for your account on network [ 23415 ]."
		}
		m.Workflow = append(m.Workflow, step)
	}
	if w.summaries++; w.summaries%2 == 0 {
		m.Price, m.FinalizedAt = v.total(), w.timestamp(v.finalized)
	}
	return m
}

func (w *webhooks) timestamp(t time.Time) string {
	return w.realTime(t).UTC().Format("2006-01-02T15:04:05.000Z")
}

// signHS256 makes the JWT of a webhook.
func signHS256(secret string, body []byte, apiKey, application string) string {
	sum := sha256.Sum256(body)
	members := map[string]any{"iss": "Vonage", "iat": time.Now().Unix(), "jti": newEventID(), "payload_hash": hex.EncodeToString(sum[:]), "application_id": application}
	if apiKey != "" {
		members["api_key"] = apiKey
	}
	claims, _ := json.Marshal(members) // cannot fail
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
