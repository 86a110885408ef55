// Package guard decides whether a verification may be started, before it costs money:
// against SMS pumping (artificially inflated traffic) and applications that have run away.
//
// A Guard is asked by Decide before a request or psd2 is sent, and told afterwards what
// became of it: Withdraw, Started, Concurrent, Ended, Settle. Checks, searches and controls
// never come here: what has been started can always be completed. What is trusted is never
// refused, by no rule, and moves none of them.
//
// What a start is counted for, it is counted for when it is let through, and by those rules only
// that would not have refused it. So a flood that is refused changes nothing that is kept, and a
// rule in Monitor tells what it would do in Enforce.
//
// Memory is fixed, whatever is sent: about 46 MB for a Guard with the recommended windows of which
// all tables are full. What that makes approximate, and in which direction:
//
//   - numbers, addresses, prefixes and conversions are kept in tables with an LRU list for each
//     caller; a full one forgets what the caller with the most entries has not used for longest. A
//     start may be let through that would have been refused, never the reverse.
//   - blocks are in a table of their own, which only what was let through can fill. A full one
//     drops what ends first of the caller with the most, and never what is pinned.
//   - a verification that has to make room counts as failed, and as having cost its worst price.
//   - conversion goes by half minutes, and a budget's day is the last 24 to 25 hours, its month
//     the last 31 to 32 days: never less than it says.
//
// Tables are keyed by a seeded 64-bit hash, which is taken for the thing itself.
//
// A Guard has no goroutine. Time moves by calls, and by Advance, which its owner calls once
// a second, say.
package guard
