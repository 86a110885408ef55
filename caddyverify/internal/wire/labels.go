package wire

// The values of labels in metrics, spans and logs that more than one package uses. Each
// list is in the order of the documentation.

// Class is the class of calls that a circuit breaker is for. Users with a code in hand
// must not be kept waiting because the requests to one country fail, nor the other way
// round.
type Class string

// The classes.
const (
	ReadClass  Class = "read"  // check and search
	WriteClass Class = "write" // request, psd2 and control
)

// Classes lists both.
var Classes = [...]Class{ReadClass, WriteClass}

// Class returns the class that an operation belongs to.
func (o Operation) Class() Class {
	if o == Check || o == Search {
		return ReadClass
	}
	return WriteClass
}

// CircuitState is the state of a circuit breaker.
type CircuitState string

// The states. Only CircuitClosed lets calls through.
const (
	CircuitClosed   CircuitState = "closed"
	CircuitOpen     CircuitState = "open"      // waiting for the time of the next probe
	CircuitHalfOpen CircuitState = "half_open" // a probe is under way, or due
)

// CircuitStates lists them.
var CircuitStates = [...]CircuitState{CircuitClosed, CircuitOpen, CircuitHalfOpen}

// DeliverySource says where the answer to a request, check or control came from.
type DeliverySource string

// The sources.
const (
	Sent     DeliverySource = "sent"     // from upstream
	Shared   DeliverySource = "shared"   // from upstream, by an identical call that was under way
	Replayed DeliverySource = "replayed" // kept from an earlier call
)

// DeliverySources lists them.
var DeliverySources = [...]DeliverySource{Sent, Shared, Replayed}

// CacheResult says what the cache had for a search.
type CacheResult string

// The results.
const (
	CacheHit       CacheResult = "hit"       // all of it
	CacheMiss      CacheResult = "miss"      // none of it, or the upstream failed
	CachePartial   CacheResult = "partial"   // some of it
	CacheCoalesced CacheResult = "coalesced" // none of it, but a call for it was under way
	CacheStale     CacheResult = "stale"     // states past their lifetime, as the upstream failed
	CacheBypass    CacheResult = "bypass"    // it is off
)

// CacheResults lists them.
var CacheResults = [...]CacheResult{CacheHit, CacheMiss, CachePartial, CacheCoalesced, CacheStale, CacheBypass}

// Outcome is how a verification ended.
type Outcome string

// The outcomes. The first three are also learned without a search.
const (
	OutcomeSuccess   Outcome = "success"   // check 0, or SUCCESS
	OutcomeFailed    Outcome = "failed"    // check 17, or FAILED
	OutcomeExpired   Outcome = "expired"   // EXPIRED
	OutcomeCancelled Outcome = "cancelled" // cancel 0, or CANCELLED
	// OutcomeUnknown is that of one that was given up: the provider does not know it any
	// more, nobody asked in time, or there was no room to wait for it.
	OutcomeUnknown Outcome = "unknown"
)

// Outcomes lists them.
var Outcomes = [...]Outcome{OutcomeSuccess, OutcomeFailed, OutcomeExpired, OutcomeCancelled, OutcomeUnknown}

// SecretName tells the two secrets of an account apart.
type SecretName string

// The secrets: that of credentials, and that of next_credentials.
const (
	FirstSecret SecretName = "first"
	NextSecret  SecretName = "next"
)

// SecretNames lists both.
var SecretNames = [...]SecretName{FirstSecret, NextSecret}

// Other is the other one.
func (n SecretName) Other() SecretName {
	if n == NextSecret {
		return FirstSecret
	}
	return NextSecret
}

// SwitchReason says why the secret in use is another than before.
type SwitchReason string

// The reasons. All but the last are answers to the secret of before.
const (
	SwitchStatus4      SwitchReason = "status_4"
	SwitchUnauthorized SwitchReason = "unauthorized" // HTTP 401 or 403
	SwitchFile         SwitchReason = "file"         // its file has a new one
)

// SwitchReasons lists them.
var SwitchReasons = [...]SwitchReason{SwitchStatus4, SwitchUnauthorized, SwitchFile}

// Invariant is what must hold at any time, whatever goes wrong: that it does is looked at
// once more where breaking it would do harm.
type Invariant string

// The invariants.
const (
	OneDelivery Invariant = "one_delivery" // a request, check or control is not sent twice
	FreshState  Invariant = "fresh_state"  // no state from before a check or control is kept after it
	SecretKept  Invariant = "secret_kept"  // no answer to a client holds the secret
)

// Invariants lists them.
var Invariants = [...]Invariant{OneDelivery, FreshState, SecretKept}

// CostKind is what money was spent on.
type CostKind string

// The kinds of cost.
const (
	Fee      CostKind = "fee"      // price: the verification itself
	Messages CostKind = "messages" // estimated_price_messages_sent
	// Estimated is by the prices of the configuration, for both, where the provider tells none.
	Estimated CostKind = "estimated"
)

// CostKinds lists them.
var CostKinds = [...]CostKind{Fee, Messages, Estimated}
