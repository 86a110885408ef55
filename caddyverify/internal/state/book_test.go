package state

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

const (
	id     = "cc121958d8fb4368aa3bb762bb9a0f74"
	uuid   = "CC121958-d8fb-4368-aa3b-b762bb9a0f74"
	number = "447700900000"
)

func start() Start {
	return Start{Number: number, Sender: "verify", Account: "abcdef01", Channels: []string{"sms", "sms", "tts"}, Wait: 2 * time.Minute}
}

func hook(status string) Event { return Event{Type: "summary", Status: status, At: time.Now()} }

// TestStatus has each row happen to a verification that has begun.
func TestStatus(t *testing.T) {
	const life = 6 * time.Minute
	begin := time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC) // of a bubble's clock
	step := func(status string, sent time.Duration) Event {
		return Event{Type: "event", Channel: "sms", Status: status, At: begin.Add(sent + time.Minute), Sent: []Message{{"sms", begin.Add(sent)}}}
	}
	for _, c := range []struct {
		name string
		do   func(t *testing.T, b *Book)
		want wire.Status
	}{
		{"nothing", func(*testing.T, *Book) {}, wire.InProgress},
		{"a wrong code", func(t *testing.T, b *Book) { b.Checked(t.Context(), id, false, 0) }, wire.InProgress},
		{"a right code", func(t *testing.T, b *Book) { b.Checked(t.Context(), id, true, 0) }, wire.Succeeded},
		{"another spelling", func(t *testing.T, b *Book) { b.Checked(t.Context(), uuid, true, 0) }, wire.Succeeded},
		{"too many wrong codes", func(t *testing.T, b *Book) { b.Ended(t.Context(), id, wire.Failed) }, wire.Failed},
		{"cancelled", func(t *testing.T, b *Book) { b.Ended(t.Context(), id, wire.Cancelled) }, wire.Cancelled},
		{"no end", func(t *testing.T, b *Book) { b.Ended(t.Context(), id, wire.InProgress) }, wire.InProgress},
		{"a wrong code after the end", func(t *testing.T, b *Book) {
			b.Checked(t.Context(), id, true, 0)
			b.Checked(t.Context(), id, false, 0)
		}, wire.Succeeded},
		{"a right code after all", func(t *testing.T, b *Book) {
			b.Ended(t.Context(), id, wire.Cancelled)
			b.Checked(t.Context(), id, true, 0)
		}, wire.Succeeded},

		{"before its time is over", func(*testing.T, *Book) { time.Sleep(life + margin - 1) }, wire.InProgress},
		{"its time is over", func(*testing.T, *Book) { time.Sleep(life + margin) }, wire.Expired},
		{"completed after its time", func(t *testing.T, b *Book) {
			time.Sleep(life + time.Minute)
			b.Told(t.Context(), id, hook("completed"))
		}, wire.Succeeded},
		{"triggered and over", func(t *testing.T, b *Book) {
			time.Sleep(time.Minute)
			b.Triggered(t.Context(), id, 0)
			time.Sleep(life - time.Minute - time.Minute + margin)
		}, wire.Expired},
		{"triggered and not over", func(t *testing.T, b *Book) {
			time.Sleep(time.Minute)
			b.Triggered(t.Context(), id, 0)
			time.Sleep(life - time.Minute - time.Minute + margin - 1)
		}, wire.InProgress},
		{"triggered twice and over", func(t *testing.T, b *Book) {
			b.Triggered(t.Context(), id, 0)
			time.Sleep(time.Second)
			b.Triggered(t.Context(), id, 0)
			b.Triggered(t.Context(), id, 0) // there is nothing left
			time.Sleep(2*time.Minute + margin)
		}, wire.Expired},

		{"told failed", func(t *testing.T, b *Book) { b.Told(t.Context(), id, hook("failed")) }, wire.Failed},
		{"told rejected", func(t *testing.T, b *Book) { b.Told(t.Context(), id, hook("rejected")) }, wire.Failed},
		{"told user_rejected", func(t *testing.T, b *Book) { b.Told(t.Context(), id, hook("user_rejected")) }, wire.Failed},
		{"told blocked", func(t *testing.T, b *Book) { b.Told(t.Context(), id, hook("blocked")) }, wire.Failed},
		{"told expired", func(t *testing.T, b *Book) { b.Told(t.Context(), id, hook("expired")) }, wire.Expired},
		{"told what nobody knows", func(t *testing.T, b *Book) { b.Told(t.Context(), id, hook("in_limbo")) }, wire.InProgress},
		{"told expired, then failed earlier", func(t *testing.T, b *Book) {
			b.Told(t.Context(), id, hook("expired"))
			e := hook("failed")
			e.At = e.At.Add(-time.Second)
			b.Told(t.Context(), id, e)
		}, wire.Failed},
		{"told expired, then failed later", func(t *testing.T, b *Book) {
			b.Told(t.Context(), id, hook("expired"))
			e := hook("failed")
			e.At = e.At.Add(time.Second)
			b.Told(t.Context(), id, e)
		}, wire.Expired},
		{"told expired and failed at once", func(t *testing.T, b *Book) {
			b.Told(t.Context(), id, hook("expired"))
			b.Told(t.Context(), id, hook("failed"))
		}, wire.Failed},
		{"told failed, but completed", func(t *testing.T, b *Book) {
			b.Told(t.Context(), id, hook("failed"))
			b.Told(t.Context(), id, hook("completed"))
		}, wire.Succeeded},
		{"told failed, but cancelled", func(t *testing.T, b *Book) {
			b.Told(t.Context(), id, hook("failed"))
			time.Sleep(time.Second)
			b.Ended(t.Context(), id, wire.Cancelled)
		}, wire.Cancelled},
		{"told expired, but failed by the answer", func(t *testing.T, b *Book) {
			b.Told(t.Context(), id, hook("expired"))
			time.Sleep(time.Second)
			b.Ended(t.Context(), id, wire.Failed)
		}, wire.Failed},
		{"cancelled, but completed", func(t *testing.T, b *Book) {
			b.Ended(t.Context(), id, wire.Cancelled)
			b.Told(t.Context(), id, hook("completed"))
		}, wire.Succeeded},

		{"failed by an answer, and cancelled", func(t *testing.T, b *Book) {
			b.Ended(t.Context(), id, wire.Failed)
			time.Sleep(time.Second)
			b.Ended(t.Context(), id, wire.Cancelled)
		}, wire.Cancelled},
		{"a step completed", func(t *testing.T, b *Book) { b.Told(t.Context(), id, step("completed", 0)) }, wire.Succeeded},
		{"a step failed", func(t *testing.T, b *Book) { b.Told(t.Context(), id, step("failed", 0)) }, wire.InProgress},
		{"a step failed, told in several ways", func(t *testing.T, b *Book) {
			b.Told(t.Context(), id, step("failed", 0))
			b.Told(t.Context(), id, step("rejected", 0))
			b.Told(t.Context(), id, step("blocked", 0))
		}, wire.InProgress},
		{"the last step failed", func(t *testing.T, b *Book) {
			b.Told(t.Context(), id, step("rejected", 2*time.Minute))
			b.Told(t.Context(), id, step("failed", 4*time.Minute))
			b.Told(t.Context(), id, step("expired", 0))
		}, wire.Failed},
		{"the last step expired", func(t *testing.T, b *Book) {
			b.Told(t.Context(), id, step("failed", 0))
			b.Told(t.Context(), id, step("expired", 4*time.Minute))
			b.Told(t.Context(), id, step("failed", 2*time.Minute))
		}, wire.Expired},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := New(Settings{})
				b.Began(t.Context(), id, start())
				c.do(t, b)
				v, ok, _ := b.Find(t.Context(), uuid)
				if !ok || v.Status() != c.want {
					t.Errorf("the verification is %v (%v), want %v", v.Status(), ok, c.want)
				}
			})
		})
	}
}

func isKnown(ctx context.Context, b *Book, id string) bool {
	known, _ := b.Known(ctx, id)
	return known
}

// TestSentToOfSummary: a summary tells of the steps of which something was sent alone.
func TestSentToOfSummary(t *testing.T) {
	const gb, de = "447700900000", "493023125000"
	for _, tt := range []struct {
		channels, numbers, sent, want []string
	}{
		{[]string{"sms", "email"}, []string{gb, ""}, []string{"email"}, nil},
		{[]string{"email", "sms"}, []string{"", gb}, []string{"sms"}, []string{gb}},
		{[]string{"sms", "tts"}, []string{gb, de}, []string{"voice"}, []string{de}},
		{[]string{"sms", "tts"}, []string{gb, de}, []string{"sms", "voice"}, []string{gb, de}},
		{[]string{"sms", "sms"}, []string{gb, de}, []string{"sms"}, []string{gb}},
		{[]string{"sms", "sms"}, []string{gb, de}, []string{"sms", "sms"}, []string{gb, de}},
		{[]string{"tts", "sms"}, []string{de, gb}, []string{"sms", "voice"}, []string{gb, de}},
		{[]string{"sms", "email"}, []string{gb, ""}, []string{"email", "sms"}, []string{gb}},
		{[]string{"sms", "email"}, []string{gb, ""}, []string{"sms", "sms", "another"}, []string{gb, gb, gb}},
		{[]string{"sms", "tts"}, nil, []string{"voice"}, []string{gb}},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := New(Settings{})
			const id = "0123abcd0123abcd0123abcd0123abcd"
			b.Began(t.Context(), id, Start{Number: gb, Channels: tt.channels, Numbers: tt.numbers, Wait: time.Minute})
			e := Event{Type: summaryType, Status: "completed", At: time.Now()}
			for i, channel := range tt.sent {
				e.Sent = append(e.Sent, Message{Channel: channel, At: time.Now().Add(time.Duration(i) * time.Second)})
			}
			b.Told(t.Context(), id, e)
			v, _, _ := b.Find(t.Context(), id)
			if got := v.SentTo(); !slices.Equal(got, tt.want) {
				t.Errorf("of %v to %q, with %v sent, it has gone to %q, want %q", tt.channels, tt.numbers, tt.sent, got, tt.want)
			}
		})
	}
}
