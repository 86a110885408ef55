// Package ledger keeps the verifications under way and counts each of them once:
// as started at a request's status 0, as finished at the first answer that tells
// how it ended, and what it cost at the price last known. Repeated checks,
// replayed answers and late searches add nothing. It says which verifications have
// run out without anybody having seen the end, for the settler to ask about.
//
// At any time
//
//	started = finished, outcome unknown included + under way + unsettled.
//
// Where gateways share what they know (Share), a ledger adopts verifications that another has
// seen start, and tells of ends and costs as Bookings, for one of the gateways to count. Then
// what is started, finished, under way and unsettled adds up over all of them.
//
// It is pure: it counts nothing itself but returns what happened as values. Time moves
// it in Advance alone; what only reads, such as Stats, changes nothing.
package ledger
