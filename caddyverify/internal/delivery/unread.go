package delivery

import (
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// takeUnread returns the call whose answer no client got and this one may have, or
// nil. It is taken out, so that no other gets it too. The caller holds d.mu.
func (d *Deduper) takeUnread(call *Call) *flight {
	if d.unread.len() == 0 { // nearly always
		return nil
	}
	key := d.repetitionKey(call)
	f := d.unread.get(key)
	d.unread.remove(key.text())
	return f
}

// keepUnread keeps a success that no client got: the start of a verification, or the
// answer to a right code. The caller holds d.mu.
func (d *Deduper) keepUnread(call *Call, f *flight) {
	if !f.worthKeeping(call.Operation) {
		return
	}
	key := d.repetitionKey(call)
	if d.unread.put(key, call.Caller, f, f.until) && call.Operation.Starts() {
		d.unreadBy[f.answer.RequestID] = key
	}
}

// worthKeeping tells an answer that another client may be given.
func (f *flight) worthKeeping(o wire.Operation) bool {
	if o != wire.Check && (!o.Starts() || f.answer.RequestID == "") {
		return false
	}
	return f.answer.Fault == nil && f.answer.Status == wire.Success && time.Until(f.until) > 0 && f.fits()
}

// Forget drops the answer that started a verification, which a check or control
// shows to be known to someone.
func (d *Deduper) Forget(requestID string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if key, ok := d.unreadBy[requestID]; ok {
		d.unread.remove(key.text())
	}
}
