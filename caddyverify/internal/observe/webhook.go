package observe

// WebhookResult is what became of a webhook.
type WebhookResult string

// The results.
const (
	WebhookTaken      WebhookResult = "taken"
	WebhookUnknown    WebhookResult = "unknown"
	WebhookStoreAway  WebhookResult = "store_away"
	WebhookRepeated   WebhookResult = "repeated"
	WebhookUnsigned   WebhookResult = "unsigned"
	WebhookRefused    WebhookResult = "refused"
	WebhookUnreadable WebhookResult = "unreadable"
)

// WebhookResults lists them.
var WebhookResults = [...]WebhookResult{WebhookTaken, WebhookUnknown, WebhookStoreAway, WebhookRepeated, WebhookUnsigned, WebhookRefused, WebhookUnreadable}

// PrepareWebhooks makes the series of webhooks, so that rates see the first.
func (m *AccountMetrics) PrepareWebhooks() {
	for _, r := range WebhookResults {
		m.webhooks.WithLabelValues(string(r))
	}
}

// Webhook counts one.
func (m *AccountMetrics) Webhook(r WebhookResult) { m.webhooks.WithLabelValues(string(r)).Inc() }
