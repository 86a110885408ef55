// Package wire is the Verify API as it is on the wire, and nothing else: which
// calls there are, what clients may send, what the answers say and how the
// gateway words its own. It does no I/O of its own and knows no Caddy.
package wire
