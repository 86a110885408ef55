// Package sandbox is a Verify API, v1 or v2, to develop and test against: an
// [http.Handler] that keeps real verifications, with messages that follow one
// another, PINs that lapse, a rate limit and a price, and that can be told to
// fail in the ways a provider and its network fail.
//
// It answers /verify/{format}, /verify/check/{format},
// /verify/search/{format} and /verify/control/{format}, format being json or
// xml, and /verify/psd2/json, with a query, a form or a JSON body by GET or POST.
// As the Verify
// API does it answers HTTP 200 and puts the outcome in the body's status.
// [CallsPath] tells what came in, and [FaultsPath] changes the settings. Anything
// else is HTTP 404, another method 405, a body above 64 KiB 413. docs/sandbox.md
// has all this for those who do not write Go. With Config.API it answers v2 in place
// of it, or besides.
//
// # Numbers
//
// A verification starts for every valid number except these, which force a
// status of Verify Request and PSD2:
//
//	447700900101  1   Throttled
//	447700900102  2   Missing api_key
//	447700900103  3   Invalid value for number
//	447700900104  4   Invalid credentials were provided
//	447700900105  5   Internal Error
//	447700900106  6   ... The request could not be routed.
//	447700900107  7   ... blacklisted for verification (with its network)
//	447700900108  8   ... account that has been barred ...
//	447700900109  9   Partner quota exceeded
//	447700900110  10  Concurrent verifications ... (with a request_id)
//	447700900115  15  ... not in a supported network
//	447700900120  20  ... does not support the parameter: pin_code.
//	447700900129  29  ... still in demo mode ...
//
// All of them lie in a range kept for drama: they belong to nobody. With
// country set a national number is completed for a few countries (AU, BE, CA,
// CH, DE, ES, FR, GB, IE, IN, NL, US).
//
// # Verifications
//
// A verification sends the messages of its workflow_id, each at the end of
// the wait before it:
//
//	1  sms 125 s tts 180 s tts 300 s      5  sms 120 s tts 180 s
//	2  sms 125 s sms 180 s tts 300 s      6  sms
//	3  tts 120 s tts 180 s                7  tts
//	4  sms 120 s sms 180 s
//
// next_event_wait replaces every wait. A pin_expiry (default 300 s) that is
// not a multiple of a given next_event_wait is set equal to it. A message sent
// when the PIN's pin_expiry has passed carries a new PIN. The verification is
// EXPIRED when the last wait and the last PIN are both over, FAILED at the third wrong
// code for one PIN, and CANCELLED by Verify Control, which can cancel from
// 30 s on and until the second message. A number is free again once its
// verification is no longer IN PROGRESS.
//
// price is 0.05000000 EUR for a success and 0 otherwise.
// estimated_price_messages_sent lags: it leaves out the newest message until
// the next one goes out, or until 20 s after the end of the verification.
//
// Verifications are forgotten 24 h after their end, and the oldest beyond
// 100,000. All these times are by the sandbox's own clock, see Config.Speed;
// it is worked out at each call, so the package starts no goroutine, but for webhooks,
// and can be used inside a testing/synctest bubble.
//
// # Verify v2
//
// It answers POST /v2/verify, POST and DELETE /v2/verify/{request_id}, POST
// /v2/verify/{request_id}/next_workflow, the calls about templates below
// /v2/verify/templates, and refuses network-unblock. Templates are ten at most, and no
// message is made of them; none is the default unless one was made it.
// Callers present a JWT (RS256) of Config.Application, by real time, or APIKey and
// APISecret by HTTP Basic.
//
// Each step lasts channel_timeout (default 180 s, silent_auth 60 s) and has its own
// code, unless it has reuse_code, which keeps that of the step before, or the body has
// a code. The third wrong code is 410. A verification that is not under way is 404, and
// so is a cancellation before 30 s or after the second step; a cancelled one keeps
// its number busy for 12 s. Every third 409 for a busy number does not say by what.
//
// Problems are written in the spellings on record, one after another. The numbers above
// force what corresponds:
//
//	1    429 throttled            10   409 concurrent
//	2, 4 401 unauthorized         15   422 to; 412 if silent_auth is first
//	3, 6 422 to                   20   422 code
//	5    500 internal-error       29   403 unprovisioned
//	8    403 account-suspended    40   402 low-balance, in v2 alone
//	9    401 quota-exceeded
//	7    202, and 5 s later it is FAILED, and blocked in what webhooks tell
//
// Where Config.Webhook is set, verifications that began with a JWT are told of: an event
// for each step that ends, and a summary at the end, but nothing of a cancellation. They
// name Config.Application, or without it the one that the JWT names. One
// delivery goes after another, each signed by HS256 with Config.SignatureSecret; what is
// not answered with 2xx is delivered once more, 10 s later. A goroutine does so while
// there is something to tell; it ends with [Sandbox.Close] at the latest. [Sandbox.Webhooks]
// has what was delivered.
//
// # Faults
//
// A [Fault] is written as
//
//	<operation|*> <kind> [<value>] [<share>%]
//
// where operation is request, check, search, control, psd2 or templates. These kinds come in
// place of the work: no verification changes, and neither credentials nor the
// rate limit are looked at.
//
//	status <status>      that Verify status, with its documented text; in v2 what corresponds
//	http <code>          401 as problem+json, 429 as text, others as HTML
//	close                closes the connection without a byte
//	hang                 never answers; ends when the client leaves
//	garbage              the right Content-Type, not the right body
//	html                 HTTP 200 with a web page
//	redirect [<url>]     302 (default https://example.com/)
//	conflict             v2's next_workflow: 409, not at this time, try again
//	forbidden            v2's templates: 403, not enabled for the account
//	jwt_expired          v2: 401, the JWT has expired
//
// These do the work first, at once, and then spoil its answer:
//
//	delay <duration>     answers that much later
//	reset_after          resets the connection without a byte
//	truncate             sends half of the Content-Length, then closes
//	drip <duration>      sends one byte each duration
//	big [<bytes>]        adds padding (default 2097152 bytes, at most 1 GiB)
//	bomb                 gzip, asked for or not, of more than 256 MiB
//	deep                 adds lists nested 10,000 levels deep
//	dtd                  XML: entities that expand without end; JSON: status twice
//	duplicate_status     says status twice, the first time wrongly
//	echo                 gives back the credentials received, in body and header
//	no_content_type      leaves out Content-Type
//	surplus              sends what it received after the end of the answer
//
// These are of webhooks, with webhook for the operation:
//
//	lose                 a webhook is not delivered
//	double               it is delivered twice
//	late <duration>      it is delivered that much later, after those that follow it
//	unsigned             it is not signed
//	forge                it is signed with another secret
//
// The faults are tried in order. A delay that takes the call is noted and the
// search goes on, delays adding up, until another kind takes the call: that
// one decides. A fault with a share of 25% takes every fourth call of its
// operation that gets as far as it, so that tests can count on it.
//
// The kinds close, reset_after and surplus take over the connection, which HTTP/2 does
// not allow; there the stream is aborted in its place.
//
// # Where the real API is not documented
//
// Credentials are looked for in HTTP Basic, then the query, then the body; a
// signed call (sig in place of api_secret) misses its api_secret, status 2.
// Credentials come before the rate limit, towards which throttled calls do not
// count, and the rate limit before the parameters. A body that cannot be read
// has no parameters, and unknown parameters are ignored. A request_id is 1 to
// 32 letters, digits and dashes, a code 4 to 10; anything else is status 3,
// and no wrong code. A PIN whose pin_expiry has passed is a wrong code. A
// search with both request_id and request_ids follows request_id. Among
// request_ids an unknown one is left out and one given twice is listed once;
// the status is 101 if all are unknown.
//
// In v2 a body that is no JSON object is 400, a malformed code in a check 422 and no wrong
// code, and unknown members are ignored. reuse_code of the first step means nothing. A step
// that nobody answered, or that next_workflow has cut short, is expired in what webhooks
// tell. A silent_auth step takes no code, for there is no handset.
package sandbox
