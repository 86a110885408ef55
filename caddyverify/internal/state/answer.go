package state

import (
	"cmp"
	"encoding/xml"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Answer is v1's answer to a search that has found some verifications: those that it asks for, by
// the spelling that it asks with. Those of which nobody knows how they have ended are left out.
func Answer(call *wire.Call, found []Verification) wire.Answer {
	ids, list := call.IDs()
	now := time.Now()
	var parts [][]byte
	for _, id := range ids {
		i := slices.IndexFunc(found, func(v Verification) bool { return v.id == wire.Spelling(id) })
		if i >= 0 && found[i].look(now).status != wire.NoResponse {
			parts = append(parts, found[i].fields(id, now).encode(call.Format))
		}
	}
	var body []byte
	switch {
	case len(parts) == 0:
		body = none(call.Format)
	case list:
		body = wire.AppendList(nil, call.Format, parts)
	default:
		body = append(wire.One(call.Format, parts[0]), '\n')
	}
	a := wire.Answer{Code: http.StatusOK, ContentType: call.Format.ContentType(), Body: body}
	a.Reading, _ = wire.Read(wire.Search, call.Format, body) // it is as the API writes it
	for _, v := range a.Found {
		v.PriceFinal = v.Price != "" && v.Status != wire.InProgress // webhooks tell it when all is over
	}
	return a
}

// none says that there is no such verification.
func none(f wire.Format) []byte {
	if f == wire.XML {
		return []byte(xml.Header + "<verify_response><request_id /><status>101</status><error_text>No response found</error_text></verify_response>\n")
	}
	return []byte(`{"status":"101","error_text":"No response found"}` + "\n")
}

// field is a text, or where item is not "", a list of objects with that name.
type field struct {
	name, text, item string
	list             []object
}

type object []field

// fields are what a search tells, in the order of the API's documentation. What Verify v2 does not
// tell is not there: the events' ids, the codes that were tried.
func (v *Verification) fields(requestID string, now time.Time) object {
	start := v.start()
	if start == nil {
		return object{{name: "request_id", text: requestID}, {name: "status", text: string(wire.InProgress)}}
	}
	l := v.look(now)
	first := submitted(start)
	last := first
	events := make([]object, len(l.messages))
	for i, m := range l.messages {
		events[i] = object{{name: "type", text: m.Channel}}
		last = latest(last, m.At)
		if i == 0 {
			first = last
		}
	}
	finalized := ""
	if !l.end.IsZero() {
		finalized = date(latest(submitted(start), l.end))
	}
	o := object{
		{name: "request_id", text: requestID},
		{name: "account_id", text: start.Start.Account},
		{name: "number", text: start.Start.Number},
		{name: "sender_id", text: start.Start.Sender},
		{name: "date_submitted", text: date(submitted(start))},
		{name: "date_finalized", text: finalized},
		{name: "checks", item: "check", list: v.checks()},
		{name: "first_event_date", text: date(first)},
		{name: "last_event_date", text: date(last)},
	}
	if price := v.Price(); price != "" {
		o = append(o, field{name: "price", text: price}, field{name: "currency", text: wire.CurrencyV2})
	}
	return append(o, field{name: "status", text: string(l.status)}, field{name: "events", item: "event", list: events})
}

func (v *Verification) checks() (checks []object) {
	var all []*fact
	for _, f := range v.facts {
		if f.Kind == checked {
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(a, b *fact) int {
		if a.Valid != b.Valid && a.Shown == b.Shown { // after a valid one there is no other
			return map[bool]int{false: -1, true: 1}[a.Valid]
		}
		return cmp.Or(cmp.Compare(a.Shown, b.Shown), cmp.Compare(a.ID, b.ID))
	})
	for _, f := range all {
		status := "INVALID"
		if f.Valid {
			status = "VALID"
		}
		checks = append(checks, object{
			{name: "date_received", text: date(time.UnixMilli(f.Shown))},
			{name: "code"},
			{name: "status", text: status},
			{name: "ip_address"},
		})
	}
	return checks
}

func date(t time.Time) string { return t.UTC().Format(time.DateTime) }

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (o object) encode(f wire.Format) []byte {
	var b strings.Builder
	if f == wire.JSON {
		o.writeJSON(&b)
	} else {
		o.writeXML(&b, "verify_request")
	}
	return []byte(b.String())
}

func (o object) writeJSON(b *strings.Builder) {
	open := "{"
	for _, f := range o {
		b.WriteString(open + `"` + f.name + `":`)
		open = ","
		if f.item == "" {
			quoted, _ := jsontext.AppendQuote(nil, f.text) // what is no UTF-8 it replaces
			b.Write(quoted)
			continue
		}
		b.WriteByte('[')
		for i, item := range f.list {
			if i > 0 {
				b.WriteByte(',')
			}
			item.writeJSON(b)
		}
		b.WriteByte(']')
	}
	b.WriteByte('}')
}

func (o object) writeXML(b *strings.Builder, name string) {
	b.WriteString("<" + name + ">")
	for _, f := range o {
		if f.text == "" && len(f.list) == 0 {
			b.WriteString("<" + f.name + " />")
			continue
		}
		if f.item == "" {
			b.WriteString("<" + f.name + ">")
			_ = xml.EscapeText(b, []byte(f.text)) // a Builder does not fail
		} else {
			b.WriteString("<" + f.name + ">")
			for _, item := range f.list {
				item.writeXML(b, f.item)
			}
		}
		b.WriteString("</" + f.name + ">")
	}
	b.WriteString("</" + name + ">")
}
