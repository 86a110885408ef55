// Package sim runs the whole system under one seed: applications, the gateway's core as it
// is, and the sandbox as the provider, in one bubble of fake time with a network that
// fails in the ways networks and providers fail. Everything that varies is drawn from the
// seed, so that a run can be looked at again:
//
//	go test ./caddyverify/sim -run 'TestSim$' -seed 7 -v
//	go test ./caddyverify/sim -run 'TestSim$' -seeds 10000
//
// The checkers are written apart from the code. Their witness is the sandbox: what it has
// accepted, and when. docs/testing.md says what they check, and which planted bugs they
// catch.
package sim
