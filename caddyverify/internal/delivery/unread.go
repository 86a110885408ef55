package delivery

import (
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// takeUnread returns the call whose answer no client got and this one may have, or
// nil. It is taken away, so that no other gets it too. The caller holds o.mu.
func (o *Office) takeUnread(call *Call) *flight {
	if o.unread.len() == 0 { // nearly always
		return nil
	}
	under := o.repeat(call)
	f := o.unread.get(under)
	o.unread.remove(under.key())
	return f
}

// keepUnread keeps a success that no client got: the start of a verification, or the
// answer to a right code. The caller holds o.mu.
func (o *Office) keepUnread(call *Call, f *flight) {
	starts := call.Operation.Starts() && f.answer.RequestID != ""
	if !starts && call.Operation != wire.Check {
		return
	}
	if f.answer.Fault != nil || f.answer.Status != wire.Success || time.Until(f.until) <= 0 || !f.fits() {
		return
	}
	under := o.repeat(call)
	if o.unread.put(under, call.Caller, f, f.until) && starts {
		o.unreadBy[f.answer.RequestID] = under
	}
}

// Forget drops the answer that started a verification, which a check or control
// shows to be known to someone.
func (o *Office) Forget(requestID string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if under, ok := o.unreadBy[requestID]; ok {
		o.unread.remove(under.key())
	}
}
