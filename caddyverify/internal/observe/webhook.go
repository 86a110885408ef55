package observe

import "github.com/caddyverify/caddy-verify/caddyverify/internal/relay"

// WebhookResult is what became of a webhook.
type WebhookResult string

// The results.
const (
	WebhookTaken      WebhookResult = "taken"
	WebhookUnknown    WebhookResult = "unknown"
	WebhookStoreAway  WebhookResult = "store_away"
	WebhookUndecided  WebhookResult = "undecided"
	WebhookRepeated   WebhookResult = "repeated"
	WebhookUnsigned   WebhookResult = "unsigned"
	WebhookRefused    WebhookResult = "refused"
	WebhookUnreadable WebhookResult = "unreadable"
)

// Decided tells that the webhook need not come again, where it is the provider's.
func (r WebhookResult) Decided() bool { return r != WebhookStoreAway && r != WebhookUndecided }

// WebhookResults lists them.
var WebhookResults = [...]WebhookResult{WebhookTaken, WebhookUnknown, WebhookStoreAway, WebhookUndecided, WebhookRepeated, WebhookUnsigned, WebhookRefused, WebhookUnreadable}

// PrepareWebhooks makes the series of webhooks, so that rates see the first.
func (m *AccountMetrics) PrepareWebhooks() {
	for _, r := range WebhookResults {
		m.webhooks.WithLabelValues(string(r))
	}
}

// Webhook counts one.
func (m *AccountMetrics) Webhook(r WebhookResult) { m.webhooks.WithLabelValues(string(r)).Inc() }

// PrepareRelays makes the series of webhooks that are passed on.
func (m *AccountMetrics) PrepareRelays() {
	for _, r := range relay.Results {
		m.relays.WithLabelValues(string(r))
	}
}

// Relay counts a try.
func (m *AccountMetrics) Relay(r relay.Result) { m.relays.WithLabelValues(string(r)).Inc() }
