package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

var (
	// hold: KEYS[1] has the fields o (when more can be granted), m (the most that anybody knew
	// until then), n (that more can be granted), h:<by> (seq, held, seen), s:<by>:<slice> and
	// p:<part> (counts until, amount), of who is told apart no longer, and p:lost, of who has not
	// told since it was forgotten. ARGV by, seq, cap, held, want, others, keep, closed, gone, ttl,
	// the most holders, parts, answered, and slice, age, amount of each that is spent.
	hold = script(`
local by, seq, cap, told, want, others = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local keep, gone = tonumber(ARGV[7]), tonumber(ARGV[9])
local opens, least, open = false, 0, false
local holders, spent, sums, n, past, lost = {}, {}, {}, 0, 0, 0
local over = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local k, v = all[i], all[i + 1]
  local kind = string.sub(k, 1, 2)
  if k == 'o' then opens = tonumber(v)
  elseif k == 'm' then least = tonumber(v)
  elseif k == 'n' then open = true
  elseif kind == 'h:' then
    local q, h, s = string.match(v, '^(%d+) (%d+) (%d+)$')
    holders[string.sub(k, 3)] = {seq = tonumber(q), held = tonumber(h), seen = tonumber(s)}
    n = n + 1
  else
    local till, amount = tonumber(string.sub(v, 1, 16)), tonumber(string.sub(v, 17))
    if till <= now then over[#over + 1] = k
    elseif k == 'p:lost' then lost = amount
    elseif kind == 'p:' then past = past + amount
    else
      local who = string.match(k, '^s:(.*):')
      spent[k] = {who = who, till = till, amount = amount}
      sums[who] = (sums[who] or 0) + amount
    end
  end
end
for who, h in pairs(holders) do
  if now - h.seen >= keep then
    h.held = 0
    if not sums[who] then
      over[#over + 1] = 'h:' .. who
      holders[who] = nil
      n = n - 1
    end
  end
end
if not opens then
  opens = now + tonumber(ARGV[8])
  redis.call('HSET', KEYS[1], 'o', str(opens))
end
live(KEYS[1], ARGV[10])
local known, answered = holders[by] ~= nil, tonumber(ARGV[13])
if open and (known and holders[by].seq < answered or not known and answered > 0 and lost == 0 and n < tonumber(ARGV[11])) then
  open, least, opens = false, 0, now + tonumber(ARGV[8])
  redis.call('HSET', KEYS[1], 'o', str(opens))
  redis.call('HDEL', KEYS[1], 'n')
end
if not known and n >= tonumber(ARGV[11]) then
  local oldest
  for who, h in pairs(holders) do
    local o = holders[oldest]
    if not o or h.seen < o.seen or h.seen == o.seen and who < oldest then oldest = who end
  end
  local function fold(till, amount)
    local part = keep / tonumber(ARGV[12])
    local i = math.floor(till / part) + 1
    local k, was = 'p:' .. str(i), 0
    local v = redis.call('HGET', KEYS[1], k)
    if v and tonumber(string.sub(v, 1, 16)) > now then was = tonumber(string.sub(v, 17)) end
    redis.call('HSET', KEYS[1], k, str(i * part) .. str(was + amount))
    past = past + amount
  end
  fold(holders[oldest].seen + keep, holders[oldest].held)
  over[#over + 1] = 'h:' .. oldest
  for k, s in pairs(spent) do
    if s.who == oldest then
      fold(s.till, s.amount)
      over[#over + 1] = k
    end
  end
  holders[oldest], sums[oldest] = nil, nil
end
for i = 1, #over, 1000 do redis.call('HDEL', KEYS[1], unpack(over, i, math.min(i + 999, #over))) end

local othersSpent, othersHeld = past + lost, 0
for who, h in pairs(holders) do
  if who ~= by then
    if now - h.seen < gone then othersHeld = othersHeld + h.held else othersSpent = othersSpent + h.held end
  end
end
for who, sum in pairs(sums) do
  if who ~= by then othersSpent = othersSpent + sum end
end
local held = math.min(told, want)
if known and seq <= holders[by].seq then
  if seq == holders[by].seq then held = holders[by].held end
  return {str(held), str(othersSpent), str(othersHeld)}
end
local own = sums[by] or 0
for i = 14, #ARGV, 3 do
  local k, left, amount = 's:' .. by .. ':' .. ARGV[i], keep - tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local was = spent[k] and spent[k].amount or 0
  if amount > was and left > 0 then
    redis.call('HSET', KEYS[1], k, str(now + left) .. str(amount))
    own = own + amount - was
  end
end
othersSpent = othersSpent - lost -- which is about to change
local sum = own + othersSpent + othersHeld
if not open then
  least = math.max(least, own + told + others)
  lost = math.max(0, least - sum - told)
  open = now >= opens
  redis.call('HSET', KEYS[1], 'm', str(least), 'p:lost', str(now + keep) .. str(lost))
  if open then redis.call('HSET', KEYS[1], 'n', 1) end
elseif not known and lost > 0 then
  lost = lost - math.min(lost, own + told)
  redis.call('HSET', KEYS[1], 'p:lost', string.sub(redis.call('HGET', KEYS[1], 'p:lost'), 1, 16) .. str(lost))
end
sum, othersSpent = sum + lost, othersSpent + lost
if open then held = math.max(held, math.min(want, cap - sum)) end
redis.call('HSET', KEYS[1], 'h:' .. by, str(seq) .. ' ' .. str(held) .. ' ' .. str(now))
return {str(held), str(othersSpent), str(othersHeld)}`)

	// tell: KEYS[1] is a stream. ARGV the most, life in milliseconds, and the entries. XTRIM with
	// MINID came with Redis 6.2.
	tell = script(`
for i = 3, #ARGV do redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[1], '*', 'v', ARGV[i]) end
live(KEYS[1], ARGV[2])
local before, over = math.floor(now / 1000) - tonumber(ARGV[2]) - 1, {}
if before >= 0 then
  for _, e in ipairs(redis.call('XRANGE', KEYS[1], '-', str(before), 'COUNT', 1000)) do over[#over + 1] = e[1] end
end
if #over > 0 then redis.call('XDEL', KEYS[1], unpack(over)) end
return 1`)

	// read: ARGV after, the most. Ages are in milliseconds, as positions are.
	read = script(`
local r = redis.call('XREAD', 'COUNT', ARGV[2], 'STREAMS', KEYS[1], ARGV[1])
local out = {str(math.floor(now / 1000))}
if r then
  for _, e in ipairs(r[1][2]) do
    out[#out + 1] = e[1]
    out[#out + 1] = e[2][2]
  end
end
return out`)
)

func (a account) Hold(ctx context.Context, budget store.Name, b store.Book) (g store.Grant, err error) {
	args := make([]string, 0, 13+3*len(b.Spent))
	args = append(args,
		string(b.By), fmt.Sprint(b.Seq), fmt.Sprint(b.Cap), fmt.Sprint(b.Held), fmt.Sprint(b.Want), fmt.Sprint(b.Others),
		microseconds(b.Keep), microseconds(store.BudgetClosed), microseconds(store.Gone), milliseconds(b.Keep+store.Gone),
		fmt.Sprint(store.MaxGateways), fmt.Sprint(store.Pasts), fmt.Sprint(b.Answered),
	)
	for _, s := range b.Spent {
		args = append(args, fmt.Sprint(s.Slice), microseconds(s.Age), fmt.Sprint(s.Amount))
	}
	r, err := a.run(ctx, hold, a.keys(budget)[:1], args...).AsStrSlice()
	if err != nil {
		return g, err
	}
	if len(r) != 3 {
		return g, errReply
	}
	var faults [3]error
	for i, to := range []*int64{&g.Held, &g.OthersSpent, &g.OthersHeld} {
		*to, faults[i] = strconv.ParseInt(r[i], 10, 64)
	}
	return g, errors.Join(faults[:]...)
}

func (a account) Tell(ctx context.Context, log store.Name, entries [][]byte, most int, life time.Duration) error {
	args := make([]string, 0, 2+len(entries))
	args = append(args, fmt.Sprint(most), milliseconds(life))
	for _, v := range entries {
		args = append(args, rueidis.BinaryString(v))
	}
	return a.run(ctx, tell, a.keys(log)[:1], args...).Error()
}

func (a account) Read(ctx context.Context, log store.Name, after store.Position, most int) ([]store.Entry, error) {
	if after == "" {
		after = "0-0"
	}
	r, err := a.run(ctx, read, a.keys(log)[:1], string(after), fmt.Sprint(most)).ToArray()
	if err != nil {
		return nil, err
	}
	if len(r)%2 != 1 {
		return nil, errReply
	}
	now, err := r[0].AsInt64()
	if err != nil {
		return nil, err
	}
	entries := make([]store.Entry, 0, len(r)/2)
	for i := 1; i < len(r); i += 2 {
		position, err := r[i].ToString()
		if err != nil {
			return nil, err
		}
		v, err := r[i+1].AsBytes()
		if err != nil {
			return nil, err
		}
		at, _, _ := strings.Cut(position, "-")
		told, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			return nil, errReply
		}
		age := time.Duration(now-told) * time.Millisecond
		entries = append(entries, store.Entry{Position: store.Position(position), Age: max(0, age), Value: v})
	}
	return entries, nil
}
