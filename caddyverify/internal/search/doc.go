// Package search answers searches from memory, and never wrongly: it keeps what
// the provider last said about each verification for as long as that can be
// true, lets callers that miss the same verification share one upstream call,
// and forgets a verification whenever a check or control may have changed it.
package search
