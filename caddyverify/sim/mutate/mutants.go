package main

// Mutant is a bug: Old stands in File exactly once, and New takes its place.
type Mutant struct{ About, File, Old, New string }

const internal = "caddyverify/internal/"

// Mutants are the bugs that are planted.
var Mutants = []Mutant{
	{
		"identical requests under way do not share a call", internal + "delivery/delivery.go",
		"if known, ok := d.flights[f.key]; ok {", "if known, ok := d.flights[f.key]; ok && call.Operation == wire.Check {",
	},
	{
		"an Idempotency-Key is forgotten at once", internal + "delivery/delivery.go",
		"known != nil {\n\t\t\tif known.fingerprint", "known != nil && false {\n\t\t\tif known.fingerprint",
	},
	{
		"a call that may have been sent gives its key back", internal + "delivery/flight.go",
		"return !f.answer.Fault.MayHaveSent", "return true",
	},
	{
		"an answer that nobody got is not given to the repetition", internal + "delivery/unread.go",
		"if d.unread.len() == 0 {", "if d.unread.len() >= 0 {",
	},
	{
		"an answer that nobody got is not kept", internal + "delivery/flight.go",
		"if !f.acked {", "if !f.acked && false {",
	},
	{
		"a client that has left counts as told", internal + "gateway/gateway.go",
		"here := r.Context().Err() == nil", "here := true",
	},
	{
		"a client that leaves cancels its request", internal + "gateway/gateway.go",
		"lasting := withOnceOnly(context.WithoutCancel(ctx))", "lasting := withOnceOnly(ctx)",
	},
	{
		"what memory has is dropped before a check, and not after it", internal + "gateway/gateway.go",
		"\tdefer lift()\n", "\t_ = lift\n",
	},
	{
		"a check drops nothing", internal + "search/shard.go",
		"\ts.store.drop(id)\n", "",
	},
	{
		"a check does not detach the searches under way", internal + "search/shard.go",
		"s.dropped[id] = dropped{s.drops, now}\n\t}\n\tdelete(s.flights, id)", "s.dropped[id] = dropped{s.drops, now}\n\t}",
	},
	{
		"what a detached search brings is stored", internal + "search/shard.go",
		"if !s.detachLocked(id, f) || v == rejected {", "if s.detachLocked(id, f); v == rejected {",
	},
	{
		"a refused call goes all the same", internal + "limit/step.go",
		"return refuse(wire.LimitReached, refusal)", "return next(ctx, call)",
	},
	{
		"a slot comes back after half a second", internal + "limit/slots.go",
		"later(now.Add(time.Second), s.last.Add(pace))", "later(now.Add(time.Second/2), s.last.Add(pace/2))",
	},
	{
		"a lost request is made a second time", internal + "retry/retry.go",
		"case wire.ConnectionLost, wire.AnswerUnreadable:\n\t\treturn o.Repeatable()", "case wire.ConnectionLost, wire.AnswerUnreadable:\n\t\treturn true",
	},
	{
		"an open circuit is never probed", internal + "gateway/gateway.go",
		"\t\ta.breakers.ProbeWith(g.probeForBreaker))", "\t\tfunc() {})",
	},
	{
		"a suspension never ends", internal + "suspend/suspend.go",
		`case was != "" && ends(was, o, status, accepted):`, `case was != "" && ends(was, o, status, accepted) && false:`,
	},
	{
		"a verification ends as often as it is told", internal + "ledger/ledger.go",
		"\tif r.finished {\n\t\tif r.elsewhere", "\tif r.finished && r.elsewhere {\n\t\tif r.elsewhere",
	},
	{
		"status 10 starts a verification, too", internal + "ledger/observe.go",
		`if o.Answer.Status != wire.Success || id == "" || len(id) > maxID {`, `if id == "" || len(id) > maxID {`,
	},
	{
		"attempts that failed are not counted", internal + "observe/step.go",
		"if answer.Fault == nil || !answer.Fault.MethodUnknown {", "if answer.Fault == nil {",
	},
	{
		"answers from memory are not counted", internal + "gateway/report.go",
		"\tm.Call(x.callerName(), x.operation, observe.StatusLabel(&x.answer), from, took)\n", "\tif from != observe.FromMemory {\n\t\tm.Call(x.callerName(), x.operation, observe.StatusLabel(&x.answer), from, took)\n\t}\n",
	},
	{
		"the log has what a client sent", internal + "gateway/report.go",
		`slog.String("source", string(x.source())),`, `slog.String("source", string(x.source())), slog.Any("call", x.call),`,
	},
	{
		"an answer with the secret is passed on", internal + "upstream/upstream.go",
		"if c.Live.In(body) || ", "if false || ",
	},
	{
		"the ledger's clock stands still", internal + "gateway/account.go",
		"a.publishEvents(context.Background(), a.ledger.Advance())", "_, _ = context.Background(), a.ledger",
	},
	{
		"a search's caller reads IN PROGRESS for longer than it is true", internal + "search/lifetime.go",
		"e.expires = now + fresh", "e.expires = now + 100*fresh",
	},
	{
		"what the provider finds too many lowers nothing", internal + "limit/throttle.go",
		"answer.Status == wire.Throttled, \"status \"", "false, \"status \"",
	},
	{
		"a reload has all slots free", internal + "limit/allowance.go",
		"a.slots.resize(min(a.n+max(full-was, 0), full), full, now)", "a.slots = newSlots(full, now)",
	},
	{
		"an Idempotency-Key stands for any call", internal + "delivery/delivery.go",
		"if known.fingerprint != f.fingerprint {", "if false {",
	},
	{
		"a refusal is kept by its Idempotency-Key", internal + "delivery/flight.go",
		"case f.unsent():", "case false:",
	},
	{
		"an answer that could not be written counts as read", internal + "gateway/gateway.go",
		"received = write(w, &x) == nil && here", "_ = write(w, &x)\n\treceived = here",
	},
	{
		"SIGTERM waits for all calls but one", internal + "gateway/running.go",
		"if r.n == 0 {\n\t\tr.mu.Unlock()", "if r.n <= 1 {\n\t\tr.mu.Unlock()",
	},
	{
		"a search joins one in the other format", internal + "search/shard.go",
		"f.caller == own.caller && f.format == own.format", "f.caller == own.caller",
	},
	{
		"a client that leaves ends the search of others", internal + "search/flight.go",
		"if f.waiters > 0 || f.over {", "if f.over {",
	},
	{
		"what a list says of the first is kept for all", internal + "search/shard.go",
		"newEntry(f.caller, f.format, state, nil, f.answer.ContentType)", "newEntry(f.caller, f.format, f.answer.Found[0], nil, f.answer.ContentType)",
	},
	{
		"a client that leaves ends the list of others", internal + "search/lists.go",
		"if len(l.flights) == 0 && !l.lasting {", "if !l.lasting {",
	},
	{
		"a search joins a list that is under way", internal + "search/lists.go",
		"\tc.lists.pending[l.format] = nil\n\tc.lists.underWay++", "\tc.lists.underWay++",
	},
	{
		"what is refreshed is stored over a drop", internal + "search/shard.go",
		"if !s.detachLocked(id, f) || v == rejected {", "if !s.detachLocked(id, f) && !f.refreshes || v == rejected {",
	},
	{
		"an answer about another verification is passed on", internal + "upstream/upstream.go",
		"case reading.AboutAnother(call):", "case false:",
	},
	{
		"a lost GET is made again", internal + "upstream/sending.go",
		"return !s.wrote.Load() ||", "return true ||",
	},
	{
		"Go may send a GET again", internal + "upstream/sending.go",
		"if o.Template.Method == http.MethodGet {\n\t\treturn r, s", "if o.Template.Method == http.MethodGet {\n\t\tr.Body = nil\n\t\treturn r, s",
	},
	{
		"a call has no timeout", internal + "gateway/pipeline.go",
		"context.WithTimeout(ctx, g.Timeout)", "context.WithTimeout(ctx, 100*g.Timeout)",
	},
	{
		"a circuit closes with a customer's call alone", internal + "breaker/probe.go",
		"case classified.Closes:", "case false:",
	},
	{
		"an open circuit is probed after up to two minutes", internal + "breaker/settings.go",
		"maxBackoff = 40 * time.Second", "maxBackoff = 120 * time.Second",
	},
	{
		"each gateway that sees an end estimates its cost", internal + "gateway/events.go",
		"return b.RequestID == end.RequestID", "return b.RequestID == \"\"",
	},
	{
		"a price is counted each time that it is told", internal + "ledger/price.go",
		"\t\tr.told[i] = amount\n", "",
	},
	{
		"calls that share an answer are not counted", internal + "gateway/report.go",
		"\tm.Call(x.callerName(),", "\tif x.delivered == wire.Shared {\n\t\treturn\n\t}\n\tm.Call(x.callerName(),",
	},
	{
		"a span has the form", internal + "observe/spans.go",
		"target.Path += to.Path", "target.Path += to.Path\n\ttarget.RawQuery = string(call.AppendForm(nil))",
	},
	{
		"what a reload changes is told under the account's lock", internal + "gateway/account.go",
		"\ta.configuring.Lock()\n\tdefer a.configuring.Unlock()\n\ta.configured = append", "\ta.mu.Lock()\n\tdefer a.mu.Unlock()\n\ta.configured = append",
	},
	{
		"another caller's verification is answered as one's own", internal + "gateway/isolate.go",
		"s.known() && (s.caller == c.Name || s.caller == \"\")", "s.known() && s.caller != \" \"",
	},
	{
		"the answer to a stand-in is passed on as it is", internal + "gateway/isolate.go",
		"[]byte(s.used), []byte(s.asked))", "[]byte(s.used), []byte(s.used))",
	},
	{
		"status 10 tells anybody the request_id", internal + "gateway/isolate.go",
		"s.known() && s.caller == x.caller.Name", "!s.known() || s.caller != x.caller.Name",
	},
	{
		"callers wait in one queue", internal + "limit/step.go",
		"l.Wait(ctx, call.Caller, call.Operation)", "l.Wait(ctx, \"\", call.Operation)",
	},
	{
		"a repetition goes to any account that takes requests", internal + "gateway/failover.go",
		"sent && !one.Account.ledger.Over(id)", "sent && id == id+\" \"",
	},
	{
		"a check goes to the first account", internal + "gateway/failover.go",
		"start.known() {\n\t\treturn start.at", "start.known() {\n\t\treturn g",
	},
	{
		"an account that is refused gets requests all the same", internal + "gateway/failover.go",
		"!g.way.Load().secrets.Refuses(caller, wire.Request) && ", "",
	},
	{
		"a refused secret stays in use", internal + "gateway/secrets.go",
		"if why == \"\" {", "if true {",
	},
	{
		"what is made again has the refused secret", internal + "gateway/secrets.go",
		"attempt.Secret = attempt.Secret.Other()\n", "attempt.Secret = attempt.Secret.Other().Other()\n",
	},
	{
		"an account that a caller has no turn to try is taken for one that takes requests", internal + "suspend/suspend.go",
		"s.trials.refuse(caller, now) > 0", "s.trials.refuse(\"\", now) > 0",
	},
	{
		"other gateways are told nothing of a check", internal + "gateway/fence.go",
		"if shared == nil || id == \"\" {", "if shared == nil || id != \" \" {",
	},
	{
		"other gateways hear of a check only when it is over", internal + "gateway/fence.go",
		":= shared.Before(ctx, named, mark, g.Timeout+spare)\n", ":= store.Known{}, error(nil)\n",
	},
	{
		"what another gateway makes is made here as well", internal + "delivery/claims.go",
		"\t\tcase got.State == store.Yours:", "\t\tcase got.State == store.Yours || waited:",
	},
	{
		"a key whose gateway has died is sent again", internal + "delivery/claims.go",
		"if err != nil || got.State == store.Yours {", "if err != nil || got.State == store.Yours || got.State == store.Lost {",
	},
	{
		"an answer that nobody got stays in the store when it is given", internal + "delivery/claims.go",
		"case waited && use != unread:", "case waited || use != passed:",
	},
	{
		"what is stored of a call does not tell callers apart", internal + "delivery/digest.go",
		"add(call.Caller)", "add(\"\")",
	},
	{
		"a verification is counted by all gateways that see it end", internal + "gateway/booking.go",
		"case err != nil || !first || one.alone:", "case err != nil || !first && false || one.alone:",
	},
	{
		"a call goes though the store has no slot", internal + "limit/shared.go",
		"case slot.State == store.Given:", "case slot.State != store.Alone:",
	},
	{
		"what another gateway has seen start is everybody's", internal + "gateway/shared.go",
		"told.caller = one, b.Caller", "told.caller = one, b.Caller[:0]",
	},
	{
		"near the moment of a change the next one is waited for", internal + "ledger/schedule.go",
		"if at-ago > moment+s.took+late {", "if at > moment-early {",
	},
	{
		"what a request says of its times is not looked at", internal + "ledger/observe.go",
		"schedule{Timing: timing, took: o.Took", "schedule{Timing: wire.Timing{Wait: 0 * timing.Wait}, took: o.Took",
	},
	{
		"IN PROGRESS is told for longer while gateways do not hear of each other's checks", internal + "search/shared.go",
		"min(l.longest, c.shared.Together())", "l.longest",
	},
	{
		"a budget has no reservations", internal + "guard/budget.go",
		"return b.used()+amount <= b.cap", "return b.used()-b.reserved+amount <= b.cap",
	},
	{
		"what a verification has cost is not looked at", internal + "guard/record.go",
		"r.spend(more, min(more, r.reserved), now)", "r.spend(0, min(more, r.reserved), now)",
	},
	{
		"all is given back before the price of the last message is known", internal + "guard/record.go",
		"case r.priced:", "case r.told:",
	},
	{
		"a verification of which nobody tells has cost nothing", internal + "guard/record.go",
		"r.spend(r.reserved, r.reserved, now)", "r.spend(0, r.reserved, now)",
	},
	{
		"what is reserved outlives the verification", internal + "guard/record.go",
		"case !r.trusted:", "case !r.trusted && !r.ended:",
	},
	{
		"the guard is asked about checks, too", internal + "gateway/guard.go",
		"if !call.Operation.Starts() || !a.guard.On() {", "if !a.guard.On() {",
	},
	{
		"rules are asked about what is trusted", internal + "guard/guard.go",
		"if g.trust.has(l.Number) {", "if g.trust.has(l.Number) && l.Number == \"\" {",
	},
	{
		"what a gateway knows of a verification is forgotten when the store tells of it", internal + "state/share.go",
		"\t\tfor i := range kept.facts {\n\t\t\tkept.facts[i].told = false\n\t\t}\n\t} else if", "\t\tb.records.drop(kept)\n\t} else if",
	},
	{
		"what version 1 has taken is sent to version 2 as well", internal + "gateway/drain.go",
		"(answer.Status == wire.NotFoundOrFinished || answer.Status == wire.NoResponse)", "answer.Status != wire.Throttled",
	},
	{
		"a webhook is believed of what nobody has started", internal + "state/record.go",
		"if !r.begun() {", "if len(r.facts) == 0 {",
	},
	{
		"each call is signed anew", internal + "upstream/v2/jwt.go",
		"age < 0 || age >= tokenUse", "age >= 0",
	},
	{
		"IN PROGRESS of version 2 is told until version 1 would change it", internal + "gateway/api.go",
		"if a.states.Here(requestID) {", "if a.states.Here(requestID) && ago < 0 {",
	},
	{
		"a check that was right is not known to be", internal + "upstream/v2/check.go",
		"c.Book.Checked(ctx, undashed(id), true, r.took)", "c.Book.Checked(ctx, undashed(id), false, r.took)",
	},
	{
		"a check whose answer was lost is forgotten", internal + "upstream/v2/check.go",
		"fault.MayHaveSent {", "fault.MayHaveSent && r == nil {",
	},
}
