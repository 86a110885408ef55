package state

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

const (
	otherID   = "c5037cb8b47449158ed6611afde58990"
	unknownID = "44a5279b27dd4a638d614d265ad57a77"
)

// What follows are the documentation's examples without what Verify v2 does not tell, at the times
// of a bubble's clock.
const (
	openJSON = `{
		"request_id": "cc121958d8fb4368aa3bb762bb9a0f74",
		"account_id": "abcdef01",
		"number": "447700900000",
		"sender_id": "verify",
		"date_submitted": "2000-01-01 00:00:00",
		"date_finalized": "",
		"checks": [],
		"first_event_date": "2000-01-01 00:00:00",
		"last_event_date": "2000-01-01 00:00:00",
		"status": "IN PROGRESS",
		"events": [{"type": "sms"}]
	}`
	openXML = `
		<verify_request>
			<request_id>cc121958d8fb4368aa3bb762bb9a0f74</request_id>
			<account_id>abcdef01</account_id>
			<number>447700900000</number>
			<sender_id>verify</sender_id>
			<date_submitted>2000-01-01 00:00:00</date_submitted>
			<date_finalized />
			<checks />
			<first_event_date>2000-01-01 00:00:00</first_event_date>
			<last_event_date>2000-01-01 00:00:00</last_event_date>
			<status>IN PROGRESS</status>
			<events><event><type>sms</type></event></events>
		</verify_request>`
	checkedJSON = `{
		"request_id": "cc121958d8fb4368aa3bb762bb9a0f74",
		"account_id": "abcdef01",
		"number": "447700900000",
		"sender_id": "verify",
		"date_submitted": "2000-01-01 00:00:00",
		"date_finalized": "2000-01-01 00:02:53",
		"checks": [
			{"date_received": "2000-01-01 00:00:27", "code": "", "status": "INVALID", "ip_address": ""},
			{"date_received": "2000-01-01 00:02:53", "code": "", "status": "VALID", "ip_address": ""}
		],
		"first_event_date": "2000-01-01 00:00:00",
		"last_event_date": "2000-01-01 00:02:00",
		"status": "SUCCESS",
		"events": [{"type": "sms"}, {"type": "tts"}]
	}`
	checkedXML = `
		<verify_request>
			<request_id>cc121958d8fb4368aa3bb762bb9a0f74</request_id>
			<account_id>abcdef01</account_id>
			<number>447700900000</number>
			<sender_id>verify</sender_id>
			<date_submitted>2000-01-01 00:00:00</date_submitted>
			<date_finalized>2000-01-01 00:02:53</date_finalized>
			<checks>
				<check>
					<date_received>2000-01-01 00:00:27</date_received>
					<code />
					<status>INVALID</status>
					<ip_address />
				</check>
				<check>
					<date_received>2000-01-01 00:02:53</date_received>
					<code />
					<status>VALID</status>
					<ip_address />
				</check>
			</checks>
			<first_event_date>2000-01-01 00:00:00</first_event_date>
			<last_event_date>2000-01-01 00:02:00</last_event_date>
			<status>SUCCESS</status>
			<events>
				<event><type>sms</type></event>
				<event><type>tts</type></event>
			</events>
		</verify_request>`
	noneJSON = `{"status": "101", "error_text": "No response found"}`
	noneXML  = `
		<verify_response>
			<request_id />
			<status>101</status>
			<error_text>No response found</error_text>
		</verify_response>`
)

// plain leaves out what only makes it readable.
func plain(f wire.Format, text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimSpace(line))
	}
	text = b.String()
	if f == wire.JSON {
		text = strings.NewReplacer(`": `, `":`, `, "`, `,"`, "}, {", "},{").Replace(text)
	} else if !strings.HasPrefix(text, "<?xml") {
		text = `<?xml version="1.0" encoding="UTF-8"?>` + text
	}
	return text
}

func same(json, xml string, status string, change ...string) map[wire.Format]string {
	r := strings.NewReplacer(change...)
	json, xml = r.Replace(json), r.Replace(xml)
	if status != "" {
		json = strings.NewReplacer("IN PROGRESS", status, "SUCCESS", status).Replace(json)
		xml = strings.NewReplacer("IN PROGRESS", status, "SUCCESS", status).Replace(xml)
	}
	return map[wire.Format]string{wire.JSON: json, wire.XML: xml}
}

func TestAnswer(t *testing.T) {
	none := map[wire.Format]string{wire.JSON: noneJSON, wire.XML: noneXML}
	two := func(ctx context.Context, b *Book) { checkTwice(ctx, b, true) }
	list := map[wire.Format]string{
		wire.JSON: `{"verification_requests":[` + strings.ReplaceAll(openJSON, id, otherID) + "," + checkedJSON + "]}",
		wire.XML:  "<verification_requests>" + strings.ReplaceAll(openXML, id, otherID) + checkedXML + "</verification_requests>",
	}
	begin := time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		do   func(context.Context, *Book)
		ask  []string
		list bool
		want map[wire.Format]string
	}{
		{"in progress", nothing, []string{id}, false, same(openJSON, openXML, "")},
		{"another spelling", nothing, []string{uuid}, false, same(openJSON, openXML, "", id, uuid)},
		{"success", two, []string{id}, false, same(checkedJSON, checkedXML, "")},
		{"failed", func(ctx context.Context, b *Book) {
			checkTwice(ctx, b, false)
			b.Ended(ctx, id, wire.Failed)
		}, []string{id}, false, same(checkedJSON, checkedXML, "FAILED", `"VALID`, `"INVALID`, ">VALID", ">INVALID")},
		{"expired", func(ctx context.Context, b *Book) {
			checkTwice(ctx, b, false)
			time.Sleep(time.Hour)
		}, []string{id}, false, same(
			checkedJSON, checkedXML, "EXPIRED", `"VALID`, `"INVALID`, ">VALID", ">INVALID",
			`finalized": "2000-01-01 00:02:53`, `finalized": "2000-01-01 00:04:00`,
			`finalized>2000-01-01 00:02:53`, `finalized>2000-01-01 00:04:00`,
		)},
		{"cancelled", func(ctx context.Context, b *Book) {
			time.Sleep(40 * time.Second)
			b.Ended(ctx, id, wire.Cancelled)
			time.Sleep(time.Hour)
		}, []string{id}, false, same(openJSON, openXML, "CANCELLED",
			`finalized": "`, `finalized": "2000-01-01 00:00:40`, `finalized />`, `finalized>2000-01-01 00:00:40</date_finalized>`)},
		{"a late webhook", func(ctx context.Context, b *Book) {
			time.Sleep(time.Hour)
			b.Told(ctx, id, Event{Type: "summary", Status: "failed", At: begin.Add(40 * time.Second), Price: "0.0300"})
		}, []string{id}, false, same(openJSON, openXML, "FAILED",
			`finalized": "`, `finalized": "2000-01-01 00:00:40`, `finalized />`, `finalized>2000-01-01 00:00:40</date_finalized>`,
			`"status"`, `"price": "0.0300", "currency": "EUR", "status"`, "<status>", "<price>0.0300</price><currency>EUR</currency><status>")},
		{"a webhook that tells all", func(ctx context.Context, b *Book) {
			checkTwice(ctx, b, true)
			b.Told(ctx, id, Event{Type: "summary", Status: "completed", Sent: []Message{
				{"voice", begin.Add(121 * time.Second)},
				{"sms", begin.Add(time.Second)},
			}})
		}, []string{id}, false, same(checkedJSON, checkedXML, "",
			`_date": "2000-01-01 00:00:00`, `_date": "2000-01-01 00:00:01`, `_date>2000-01-01 00:00:00`, `_date>2000-01-01 00:00:01`,
			`_date": "2000-01-01 00:02:00`, `_date": "2000-01-01 00:02:01`, `_date>2000-01-01 00:02:00`, `_date>2000-01-01 00:02:01`)},
		{"a provider whose clock is slow", func(ctx context.Context, b *Book) {
			b.Told(ctx, id, Event{Type: "event", Status: "failed", Channel: "sms", At: begin.Add(-time.Minute), Sent: []Message{{"sms", begin.Add(-time.Hour)}}})
		}, []string{id}, false, same(openJSON, openXML, "")},
		{"unknown", nothing, []string{unknownID}, false, none},
		{"unknown, in a list", nothing, []string{unknownID}, true, none},
		{"a list in the order asked", two, []string{otherID, unknownID, id}, true, list},
	} {
		for _, f := range wire.Formats {
			t.Run(c.name+"/"+f.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := New(Settings{})
					s := start()
					s.Channels = []string{"sms", "tts"}
					b.Began(t.Context(), id, s)
					c.do(t.Context(), b)
					if len(c.ask) > 1 {
						s.Took = time.Since(begin)
						b.Began(t.Context(), otherID, s)
					}
					call := wire.SearchFor(f, c.ask, c.list)
					checkAnswer(t, call, b, plain(f, c.want[f]))
				})
			})
		}
	}
}

func nothing(context.Context, *Book) {}

func checkTwice(ctx context.Context, b *Book, valid bool) {
	time.Sleep(27 * time.Second)
	b.Checked(ctx, id, false, 0)
	time.Sleep(2*time.Minute + 26*time.Second)
	b.Checked(ctx, id, valid, 0)
}

// search is what a search in the Book is answered.
func search(ctx context.Context, b *Book, call *wire.Call) wire.Answer {
	var found []Verification
	ids, _ := call.IDs()
	for _, id := range ids {
		if v, ok, _ := b.Find(ctx, id); ok {
			found = append(found, v)
		}
	}
	return Answer(call, found)
}

func checkAnswer(t *testing.T, call *wire.Call, b *Book, want string) {
	t.Helper()
	a := search(t.Context(), b, call)
	if got := plain(call.Format, string(a.Body)); got != want {
		t.Errorf("the answer is\n%s\nwant\n%s", got, want)
	}
	r, err := wire.Read(wire.Search, call.Format, a.Body)
	if err != nil || r.List != a.List || r.Status != a.Status || len(r.Found) != len(a.Found) {
		t.Errorf("it is read as %v %q with %d (%v), and told as %v %q with %d", r.List, r.Status, len(r.Found), err, a.List, a.Status, len(a.Found))
	}
	for _, v := range r.Found {
		if _, ok := v.Timeline(call.Format); !ok {
			t.Errorf("no times in %s", v.Raw)
		}
	}
	if a.Code != 200 || a.ContentType != call.Format.ContentType() || a.AboutAnother(call) {
		t.Errorf("it is %d %s, about another: %v", a.Code, a.ContentType, a.AboutAnother(call))
	}
}

// TestAnswerIsWhole has the strangest texts in an answer that must be readable yet.
// Two codes can be tried in one moment. After the right one there is no other.
func TestChecksOfAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 20 {
			b := New(Settings{})
			b.Began(t.Context(), id, Start{Number: "447700900000", Channels: []string{"sms"}})
			b.Checked(t.Context(), id, false, 0)
			b.Checked(t.Context(), id, true, 0)
			v, _, _ := b.Find(t.Context(), id)
			if checks := v.checks(); checks[0][2].text != "INVALID" || checks[1][2].text != "VALID" {
				t.Fatal(checks)
			}
		}
	})
}

// The provider's time begins within the request; a message that is asked for comes when it is.
func TestTriggeredMessageIsDated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Settings{})
		begun := time.Now()
		time.Sleep(3 * time.Second)
		b.Began(t.Context(), id, Start{Number: "447700900000", Channels: []string{"sms", "sms", "tts"}, Wait: time.Minute, Took: 3 * time.Second})
		time.Sleep(7 * time.Second)
		b.Triggered(t.Context(), id, 0)
		time.Sleep(time.Minute)
		v, _, _ := b.Find(t.Context(), id)
		var sent []time.Duration
		for _, m := range v.look(time.Now()).messages {
			sent = append(sent, m.At.Sub(begun))
		}
		if want := []time.Duration{0, 10 * time.Second, 70 * time.Second}; !slices.Equal(sent, want) {
			t.Errorf("messages are dated %v, want %v", sent, want)
		}
	})
}

func TestAnswerIsWhole(t *testing.T) {
	b := New(Settings{})
	b.Began(t.Context(), id, Start{Number: "<1>", Sender: "\"a&b\"\xff\u2028", Channels: []string{"<"}})
	for _, f := range wire.Formats {
		a := search(t.Context(), b, wire.SearchFor(f, []string{id}, true))
		if len(a.Found) != 1 || a.Found[0].RequestID != id || a.Found[0].Status != wire.InProgress {
			t.Errorf("%s", a.Body)
		}
	}
}

// TestNothingIsPrinted prints what has a phone number in it.
func TestNothingIsPrinted(t *testing.T) {
	b := New(Settings{})
	b.Began(t.Context(), id, start())
	v, _, _ := b.Find(t.Context(), id)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, x := range []any{v, &v, start(), []Verification{v}, map[string]Start{"": start()}} {
			if text := fmt.Sprintf(format, x); strings.Contains(text, number) || strings.Contains(text, "abcdef01") {
				t.Errorf("%s of %T shows what it has", format, x)
			}
		}
	}
}
