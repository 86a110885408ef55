package redis

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// account is the store of one account as one gateway sees it.
type account struct {
	*client
	tag, gateway string
}

var _ store.Store = account{}

// keys are what a name is stored under, and what is written when it changes. All keys of an
// account have one hash tag, so that they lie in one slot of a cluster.
func (a account) keys(n store.Name) []string {
	tail := fmt.Sprintf("{%s}:%c:%s", a.tag, n.Kind, n.ID)
	return []string{a.prefix + ":" + tail, a.told() + tail}
}

// rates are the keys of the rate and of the gateways.
func (a account) rates() []string {
	return []string{a.prefix + ":{" + a.tag + "}:rate", a.prefix + ":{" + a.tag + "}:gateways"}
}

// name is what a key of keys that was written is about.
func name(tail string) (tag string, n store.Name, ok bool) {
	tail, ok = strings.CutPrefix(tail, "{")
	if !ok {
		return "", n, false
	}
	tag, rest, ok := strings.Cut(tail, "}:")
	if !ok || len(rest) < 2 || rest[1] != ':' {
		return "", n, false
	}
	return tag, store.Name{Kind: store.Kind(rest[0]), ID: rest[2:]}, true
}

func (a account) Look(ctx context.Context, id store.Name, entry store.Field) (f store.Found, err error) {
	r, err := a.run(ctx, look, a.keys(id), "b:"+string(entry), rand.Text(), milliseconds(store.Glance)).ToArray()
	if err != nil {
		return f, err
	}
	if len(r) != 9 {
		return f, errReply
	}
	if f.Entry, err = value(r[0]); err != nil {
		return f, err
	}
	if f.Entry != nil {
		if f.Age, err = duration(r[1], time.Microsecond); err != nil {
			return f, err
		}
		if f.Left, err = duration(r[2], time.Microsecond); err != nil {
			return f, err
		}
	}
	token, err := r[3].ToString()
	if err != nil {
		return f, err
	}
	hold, err := r[4].AsInt64()
	if err != nil {
		return f, err
	}
	f.Token, f.Hold = store.Token(token), hold == 1
	f.Known, err = known(r[5:])
	return f, err
}

func (a account) Keep(ctx context.Context, id store.Name, t store.Token, entry store.Field, v []byte, life time.Duration) (bool, error) {
	return a.run(ctx, keep, a.keys(id), "b:"+string(entry), string(t), microseconds(life), rueidis.BinaryString(v),
		milliseconds(max(store.Life, life)), fmt.Sprint(store.MaxEntries)).AsBool()
}

func (a account) Before(ctx context.Context, id store.Name, m store.Mark, hold time.Duration) (store.Known, error) {
	r, err := a.run(ctx, before, a.keys(id), "p:"+string(m), microseconds(hold), rand.Text(),
		milliseconds(max(store.Life, hold)), fmt.Sprint(store.MaxEntries)).ToArray()
	if err != nil {
		return store.Known{}, err
	}
	return known(r)
}

func (a account) After(ctx context.Context, id store.Name, m store.Mark) error {
	return a.run(ctx, after, a.keys(id), "p:"+string(m), rand.Text(), milliseconds(store.Life)).Error()
}

func (a account) Begin(ctx context.Context, id store.Name, start []byte, ttl time.Duration) error {
	return a.run(ctx, begin, a.keys(id), rueidis.BinaryString(start), milliseconds(ttl)).Error()
}

func (a account) Finish(ctx context.Context, id store.Name, m store.Mark, ttl time.Duration) (bool, error) {
	keys := []string{a.keys(id)[0], a.keys(store.Name{Kind: store.Ended, ID: id.ID})[1]}
	return a.run(ctx, finish, keys, string(m), milliseconds(ttl)).AsBool()
}

func (a account) Paid(ctx context.Context, id store.Name, m store.Mark, kind store.Field, amount int64, ttl time.Duration) (int64, error) {
	return a.run(ctx, paid, a.keys(id), "c:"+string(kind)+":", string(m), fmt.Sprint(amount), milliseconds(ttl),
		fmt.Sprint(store.MaxEntries)).AsInt64()
}

func (a account) Claim(ctx context.Context, k store.Name, m store.Mark, says [32]byte, lease, ttl time.Duration) (c store.Claim, err error) {
	r, err := a.run(ctx, claim, a.keys(k), string(m), rueidis.BinaryString(says[:]), microseconds(lease), milliseconds(max(lease, ttl))).ToArray()
	if err != nil {
		return c, err
	}
	if len(r) == 0 {
		return c, errReply
	}
	state, err := r[0].ToString()
	if err != nil {
		return c, err
	}
	switch {
	case state == "yours":
		c.State = store.Yours
	case state == "conflict":
		c.State = store.Conflict
	case state == "lost":
		c.State = store.Lost
	case state == "wait" && len(r) == 2:
		c.State = store.Wait
		c.Left, err = duration(r[1], time.Microsecond)
	case state == "answered" && len(r) == 3:
		c.State = store.Answered
		c.Answer, err = value(r[2])
	default:
		err = errReply
	}
	return c, err
}

func (a account) Answer(ctx context.Context, k store.Name, m store.Mark, v []byte, ttl time.Duration) (bool, error) {
	return a.run(ctx, answer, a.keys(k), string(m), rueidis.BinaryString(v), milliseconds(ttl)).AsBool()
}

func (a account) Release(ctx context.Context, k store.Name, m store.Mark) error {
	return a.run(ctx, release, a.keys(k), string(m)).Error()
}

func (a account) Take(ctx context.Context, k store.Name, says [32]byte) ([]byte, error) {
	return none(a.run(ctx, take, a.keys(k), rueidis.BinaryString(says[:])).AsBytes())
}

func (a account) Slot(ctx context.Context, ask store.Ask) (s store.Slot, err error) {
	r, err := a.run(ctx, slot, a.rates(), a.gateway, rand.Text(), fmt.Sprint(max(1, min(ask.Size, store.MaxSize))),
		fmt.Sprint(ask.Spare), microseconds(ask.Most), fmt.Sprint(ask.Later), microseconds(ask.Soon)).ToArray()
	if err != nil {
		return s, err
	}
	if len(r) != 2 {
		return s, errReply
	}
	state, err := r[0].ToString()
	if err != nil {
		return s, err
	}
	switch state {
	case "given":
		s.State = store.Given
	case "full":
		s.State = store.Full
	case "alone":
		s.State = store.Alone
	default:
		return s, errReply
	}
	s.Wait, err = duration(r[1], time.Microsecond)
	return s, err
}

func (a account) Hint(ctx context.Context, h store.Name, v []byte, life time.Duration) error {
	return a.run(ctx, hint, a.keys(h), rueidis.BinaryString(v), milliseconds(life)).Error()
}

func (a account) Hinted(ctx context.Context, h store.Name) ([]byte, time.Duration, error) {
	r, err := a.run(ctx, hinted, a.keys(h)).ToArray()
	if err != nil {
		return nil, 0, err
	}
	if len(r) != 2 {
		return nil, 0, errReply
	}
	v, err := value(r[0])
	if err != nil || v == nil {
		return nil, 0, err
	}
	left, err := duration(r[1], time.Millisecond)
	return v, left, err
}

func (a account) Beat(ctx context.Context, p store.Pulse) (s store.Seen, err error) {
	r, err := a.run(ctx, beat, a.rates(), a.gateway, rand.Text(), fmt.Sprint(p.Spent)).ToArray()
	if err != nil {
		return s, err
	}
	if len(r) != 4 {
		return s, errReply
	}
	seen, err := r[0].AsInt64()
	if err != nil {
		return s, err
	}
	used, err := r[2].AsInt64()
	if err != nil {
		return s, err
	}
	silent, err := r[3].AsInt64()
	if err != nil {
		return s, err
	}
	s.Gateways, s.Silent, s.Used = int(seen), int(silent), int(used)
	s.Boot, err = r[1].ToString()
	return s, err
}

func (a account) Leave(ctx context.Context) error {
	return a.run(ctx, leave, a.rates(), a.gateway).Error()
}

func (a account) Watch(f func(store.Name)) (stop func()) { return a.watch(a.tag, f) }

// known reads a start, its age, and two flags.
func known(r []rueidis.RedisMessage) (k store.Known, err error) {
	if len(r) != 4 {
		return k, errReply
	}
	if k.Start, err = value(r[0]); err != nil {
		return k, err
	}
	if k.Start != nil {
		k.Begun, err = duration(r[1], time.Microsecond)
		k.Begun = max(0, k.Begun) // whatever the server's clock does
	}
	k.Finished, k.Tried = !r[2].IsNil(), !r[3].IsNil()
	return k, err
}

// value reads a string that may not be there.
func value(m rueidis.RedisMessage) ([]byte, error) { return none(m.AsBytes()) }

func none(v []byte, err error) ([]byte, error) {
	if rueidis.IsRedisNil(err) {
		return nil, nil
	}
	return v, err
}

func duration(m rueidis.RedisMessage, unit time.Duration) (time.Duration, error) {
	n, err := m.AsInt64()
	return time.Duration(n) * unit, err
}
