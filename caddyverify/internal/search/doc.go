// Package search answers searches from memory, and never wrongly: it keeps what
// the provider last said about each verification for as long as that can be
// true, lets callers that miss the same verification share one upstream call,
// and forgets a verification whenever a check or control may have changed it.
//
// It is a cache with request coalescing (singleflight), negative caching of 101 and
// stale-if-error (RFC 5861).
package search
