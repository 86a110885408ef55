// Package state holds what is known of verifications at a provider that does not tell: Verify v2
// has no search. It is put together of what the gateway has done itself, of what gateways that
// share a store have told, of signed webhooks, and of the clock.
//
// What is known of a verification is a set of facts that only grows. What follows from it depends
// on neither their order nor how often they came, so that gateways agree as soon as they have heard
// the same.
package state
