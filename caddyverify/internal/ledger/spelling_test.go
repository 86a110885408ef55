package ledger

import (
	"testing"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// However a request_id is written, it is the same verification.
func TestSpellings(t *testing.T) {
	const id, spelled = "e738524c55459f2f109cbd3f1f427b97", "E738524C-5545-9F2F-109C-BD3F1F427B97"
	l := New(Settings{})
	start := request(id)
	start.Call.Caller = "checkout"
	l.Observe(start)
	if by, known := l.StartedBy(spelled); by != "checkout" || !known {
		t.Errorf("it was started by %q, %v", by, known)
	}
	// Asked in one way and told of in another.
	ask := finds(id, wire.Succeeded)
	ask.Call.Params[0].Value = spelled
	if events := l.Observe(ask); len(events.Finished) != 1 || len(events.Untracked) != 0 || !l.Over(id) {
		t.Errorf("its end is told as %+v", events)
	}
}
