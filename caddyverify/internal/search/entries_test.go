package search

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// realistic is a state as long as real ones are, about 500 bytes.
func realistic(id, status string) []byte {
	return fmt.Appendf(nil, `{"request_id":"%s","account_id":"abcdef01","number":"447700900000","sender_id":"verify","date_submitted":"2024-04-03 02:22:37","date_finalized":"","checks":[{"date_received":"2024-04-03 02:23:04","code":"1111","status":"INVALID","ip_address":""}],"first_event_date":"2024-04-03 02:22:37","last_event_date":"2024-04-03 02:24:38","price":"0.10000000","currency":"EUR","status":"%s","estimated_price_messages_sent":"0.04675","events":[{"id":"23f3a13d-6d03-4262-8f4d-67f12a56e1c8","type":"sms"}]}`, id, status)
}

func realID(n int) string { return fmt.Sprintf("%032x", uint64(n)*0x9e3779b97f4a7c15) }

// fill stores an entry as a flight would.
func (c *Cache) fill(id, caller string, class class, now time.Duration) {
	status := wire.InProgress
	if class == final || class == settling {
		status = wire.Succeeded
	}
	body := realistic(id, string(status))
	v := wire.Verification{RequestID: id, Status: status, Price: "0.10000000", EstimatedPrice: "0.04675", Currency: "EUR"}
	v.Raw = body
	e := newEntry(caller, wire.JSON, &v, body, "application/json")
	e.class, e.fetched, e.since = class, now, now
	e.expires, e.until = now+c.inForce.Load().lifetimes.fresh[class], now+c.inForce.Load().lifetimes.kept[class]
	s := c.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(e, s.store.get(id, caller, wire.JSON), id)
}

// check counts everything anew.
func (c *Cache) check(t *testing.T) {
	t.Helper()
	var entries, bytes int64
	for i := range c.inForce.Load().shards {
		s := &c.inForce.Load().shards[i].store
		n, size, queued := 0, int64(0), 0
		if names := c.inForce.Load().shards[i].names.ids; names != nil && len(names) != s.items.ItemCount() {
			t.Errorf("%d names for %d verifications", len(names), s.items.ItemCount())
		}
		for id, item := range s.items.Items() {
			for e := item.Object.(*entry); e != nil; e = e.another {
				n, size = n+1, size+s.size(e, id)
				if e.id != id {
					t.Errorf("%s is kept under %s", e.id, id)
				}
			}
		}
		for caller, all := range s.queues.of {
			of := 0
			for _, q := range all.of {
				of += q.len
				length, last := 0, ref(0)
				for e := s.queues.at(q.oldest); e != nil; e = s.queues.at(e.next) {
					if e.prev != last || e.kind.Value().caller != caller {
						t.Error("a queue is broken")
					}
					length, last = length+1, e.self
				}
				if length != q.len || q.newest != last {
					t.Error("a queue is broken")
				}
			}
			if queued += of; of != all.len || of == 0 {
				t.Errorf("caller %q has %d entries, counted %d", caller, of, all.len)
			}
		}
		if used := len(s.queues.entries) - len(s.queues.unused); used != n {
			t.Errorf("%d entries have a number, of %d", used, n)
		}
		if n != s.entries || size != s.bytes || queued != n {
			t.Errorf("%d entries of %d bytes, %d in queues; counted %d of %d", n, size, queued, s.entries, s.bytes)
		}
		if n > s.maxEntries || size > s.maxBytes {
			t.Errorf("%d entries of %d bytes in a shard; allowed %d of %d", n, size, s.maxEntries, s.maxBytes)
		}
		entries, bytes = entries+int64(n), bytes+size
	}
	if got := c.Stats(); got.Entries != entries || got.Bytes != bytes {
		t.Errorf("stats %+v; counted %d of %d", got, entries, bytes)
	}
	if entries > int64(c.inForce.Load().settings.MaxEntries) || bytes > c.inForce.Load().settings.MaxBytes {
		t.Errorf("%d entries of %d bytes; allowed %d of %d", entries, bytes, c.inForce.Load().settings.MaxEntries, c.inForce.Load().settings.MaxBytes)
	}
}

func TestBounds(t *testing.T) {
	for _, s := range []Settings{
		{MaxEntries: 1},
		{MaxEntries: 7},
		{MaxEntries: 5000},
		{MaxBytes: 1},
		{MaxBytes: 3000},
		{MaxBytes: 200_000},
		{MaxBytes: 10 << 20},
		{MaxEntries: 3000, MaxBytes: 1 << 20},
	} {
		t.Run(fmt.Sprintf("%d entries, %d bytes", s.MaxEntries, s.MaxBytes), func(t *testing.T) {
			c := New(s)
			defer c.Close()
			random := rand.New(rand.NewPCG(1, 2))
			for i := range 20_000 {
				id := realID(random.IntN(15_000))
				c.fill(id, []string{"app", "b", "c"}[random.IntN(3)], class(random.IntN(int(classes))), time.Duration(i))
				if i%5 == 0 {
					c.Drop(realID(random.IntN(15_000)))
				}
				if i%4000 == 0 {
					c.check(t)
				}
			}
			c.check(t)
			if n := c.Stats().Entries; n == 0 && s.MaxBytes != 1 {
				t.Error("nothing is kept")
			}
			for i := range c.inForce.Load().shards {
				for c.inForce.Load().shards[i].sweep(1000*time.Hour, time.Minute, 100) > 0 {
				}
			}
			c.check(t)
			expect(t, "entries at the end", c.Stats().Entries, 0)
		})
	}
}

// The last one stored stays, whatever else is there.
func TestTheNewestStays(t *testing.T) {
	c := New(Settings{MaxEntries: 1})
	defer c.Close()
	for i, class := range []class{final, inProgress, notFound, final, settling} {
		id := realID(i)
		c.fill(id, "app", class, 0)
		if c.shard(id).find(id, "app", wire.JSON, 0, time.Hour) == nil {
			t.Errorf("%d is gone", i)
		}
	}
}

func TestEviction(t *testing.T) {
	const most = 400
	kept := func(c *Cache, class class) (n int) {
		for i := range c.inForce.Load().shards {
			for _, all := range c.inForce.Load().shards[i].store.queues.of {
				n += all.of[class].len
			}
		}
		return n
	}
	t.Run("what expires first", func(t *testing.T) {
		c := New(Settings{MaxEntries: most})
		defer c.Close()
		for i := range most + 100 {
			c.fill(realID(i), "app", settling, time.Duration(i))
		}
		for i := range most + 100 {
			if kept := c.shard("").find(realID(i), "app", wire.JSON, 0, time.Hour) != nil; kept != (i >= 100) {
				t.Fatalf("%d: kept %v", i, kept)
			}
		}
		expect(t, "evicted", c.Stats().EvictedSize, 100)
	})
	t.Run("a caller displaces others up to its share", func(t *testing.T) {
		c := New(Settings{MaxEntries: most})
		defer c.Close()
		for i := range most / 2 {
			c.fill(realID(i), "app", final, 0)
		}
		for i := range 10 * most {
			c.fill(realID(i), "flood", []class{final, notFound}[i%2], time.Duration(i))
		}
		n := 0
		for i := range most / 2 {
			if c.shard(realID(i)).find(realID(i), "app", wire.JSON, 0, time.Hour) != nil {
				n++
			}
		}
		if n < most*4/10 { // a shard may have more of them than another
			t.Errorf("%d of %d are left", n, most/2)
		}
		c.check(t)
	})
	t.Run("a day's finals leave room for what is polled", func(t *testing.T) {
		c := New(Settings{MaxEntries: most})
		defer c.Close()
		for i := range 10 * most {
			c.fill(realID(i), "app", final, time.Duration(i))
		}
		for i := range most / 4 {
			c.fill(realID(-i-1), "app", inProgress, time.Second)
		}
		expect(t, "in progress", kept(c, inProgress), most/4)
		expect(t, "final", kept(c, final), most-most/4)
	})
	t.Run("a flood of unknown ids leaves the known", func(t *testing.T) {
		c := New(Settings{MaxEntries: most})
		defer c.Close()
		for i := range most / 4 {
			c.fill(realID(-i-1), "app", inProgress, 0)
			c.fill(realID(-i-1), "b", final, 0)
		}
		for i := range 100 * most {
			c.fill(realID(i), "app", notFound, time.Duration(i))
		}
		expect(t, "in progress", kept(c, inProgress), most/4)
		expect(t, "final", kept(c, final), most/4)
		expect(t, "not found", kept(c, notFound), most/2)
	})
}

func TestSweep(t *testing.T) {
	bubble(t, Settings{}, func(t *testing.T, c *Cache) {
		for i := range 10_000 {
			c.fill(realID(i), "app", notFound, 0)
			c.fill(realID(i), "app2", inProgress, 0)
		}
		pass(10*time.Second + 1)
		expect(t, "after the 101s", c.Stats().Entries, 10_000)
		pass(6 * time.Minute)
		expect(t, "after all", c.Stats().Entries, 0)
		synctest.Wait()
		expect(t, "expired", c.Stats().EvictedExpired, 20_000)
		c.check(t)
	})
}

// One lock hold removes no more than it may, however many have expired.
func TestSweepAtOnce(t *testing.T) {
	c := New(Settings{MaxEntries: 1000})
	defer c.Close()
	for i := range 900 {
		c.fill(realID(i), "app", class(i%int(classes)), 0)
	}
	expect(t, "removed", c.inForce.Load().shards[0].sweep(1000*time.Hour, time.Minute, 256), 256)
	expect(t, "left", c.Stats().Entries, 900-256)
}

// What is kept is a copy: neither the client's request nor a long list stays in
// memory for it.
func TestCopies(t *testing.T) {
	bubble(t, Settings{}, func(t *testing.T, c *Cache) {
		body := []byte(listOf(wire.JSON, fragment(wire.JSON, "a", done, "1"), fragment(wire.JSON, "b", done, "1")))
		read, _ := wire.Read(wire.Search, wire.JSON, body)
		answer := wire.Answer{Code: 200, ContentType: "application/json", Body: body, Reading: read}
		u := newUpstream(nil)
		u.failing(func(*wire.Call) *wire.Answer { return &answer })
		c.ask(u, many(wire.JSON, "a", "b"))
		for i := range body {
			body[i] = '!'
		}
		a, r := c.ask(u, one(wire.JSON, "b"))
		expect(t, "kind", r.Kind, wire.CacheHit)
		expect(t, "body", string(a.Body), fragment(wire.JSON, "b", done, "1"))
	})
}

// overhead is honest: the heap holds about as much as is counted.
func TestOverhead(t *testing.T) {
	if testing.Short() {
		t.Skip("fills 130 MB")
	}
	const n = 100_000
	for name, max := range map[string]Settings{"by entries": {MaxEntries: n, MaxBytes: 1 << 30}, "by bytes": {MaxEntries: 1 << 30}, "by entries, with a store": {MaxEntries: n, MaxBytes: 1 << 30}} {
		t.Run(name, func(t *testing.T) {
			before := heap()
			c := New(max)
			defer c.Close()
			if shared := name == "by entries, with a store"; shared {
				keys, err := store.NewKeys("account", encryptionKey)
				if err != nil {
					t.Fatal(err)
				}
				c.Share(store.NewShared(new(store.Memory).Open("account", "gateway"), keys))
			}
			for i := range 2 * n { // a flood: twice what fits
				c.fill(realID(i), "checkout", class(i%int(classes)), time.Hour) // not swept meanwhile
			}
			took := float64(heap() - before)
			s := c.Stats()
			t.Logf("%d entries: %.0f bytes each, %.0f counted", s.Entries, took/float64(s.Entries), float64(s.Bytes)/float64(s.Entries))
			if ratio := took / float64(s.Bytes); ratio > 1.05 || ratio < 0.7 {
				t.Errorf("the heap grew by %.2f of what was counted", ratio)
			}
			runtime.KeepAlive(c)
		})
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
