package redis

import (
	"fmt"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// The scripts take keys of one hash tag, read the server's clock, loop over nothing that is
// not bounded, leave nothing without an expiry, and do no harm when they run twice or late.
// Times are in microseconds. KEYS[2], where there is one, is written for those who watch: what
// is only looked at or kept must wake nobody.
const prelude = `
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local function str(n) return string.format('%.0f', n) end
local function live(key, ttl)
  if redis.call('PTTL', key) < tonumber(ttl) then redis.call('PEXPIRE', key, ttl) end
end
local function told() redis.call('SET', KEYS[2], '', 'PX', 5000) end
`

// hash reads the verification KEYS[1]: fields e (epoch), p:<mark> (held until), t (tried),
// s (begun at, start), f (finished by), b:<field> (an entry: kept at, valid until, value). Others, such as
// c:<kind>:<mark> (a part of its cost), it leaves alone: a later version may have more of them.
const hash = `
local all = redis.call('HGETALL', KEYS[1])
local epoch, start, begun, finished, tried, entry = false, false, 0, false, false, false
local entries, held, over, latest = {}, {}, {}, 0
for i = 1, #all, 2 do
  local k, v = all[i], all[i + 1]
  local kind = string.sub(k, 1, 2)
  if k == 'e' then epoch = v
  elseif k == 's' then start, begun = string.sub(v, 17), now - tonumber(string.sub(v, 1, 16))
  elseif k == 'f' then finished = 1
  elseif k == 't' then tried = 1
  elseif kind == 'b:' then
    entries[#entries + 1] = k
    if k == ARGV[1] then entry = v end
  elseif kind == 'p:' then
    if tonumber(v) > now then
      held[#held + 1] = k
      if tonumber(v) > latest then latest = tonumber(v) end
    else over[#over + 1] = k end
  end
end
local function del(fields) if #fields > 0 then redis.call('HDEL', KEYS[1], unpack(fields)) end end
`

// clock, at the end of which a script has the ring in KEYS[1] and the gateways in KEYS[2]: fields
// boot, open (when the rate opens), beat (the last one), ring (that there was one), debt (calls
// made before there is one) and g:<gateway> (heard at).
var clock = fmt.Sprintf(`
local me, silent, gone, closed = 'g:' .. ARGV[1], %d, %d, %d
if redis.call('HSETNX', KEYS[2], 'boot', ARGV[2]) == 1 then
  redis.call('HSET', KEYS[2], 'open', str(now + closed))
end
local all = redis.call('HGETALL', KEYS[2])
local is, heard, n = {}, {}, 0
for i = 1, #all, 2 do
  if string.sub(all[i], 1, 2) == 'g:' then
    heard[all[i]] = tonumber(all[i + 1])
    n = n + 1
  else is[all[i]] = all[i + 1] end
end
if heard[me] or n < %d then
  redis.call('HSET', KEYS[2], me, str(now))
  heard[me] = now
end
live(KEYS[2], %d)
local function use(at, n)
  local back, last = at + 1000000, tonumber(redis.call('LINDEX', KEYS[1], -1)) + math.ceil(1000000 / n)
  if last > back then back = last end
  redis.call('LPOP', KEYS[1])
  redis.call('RPUSH', KEYS[1], str(back))
end
`, store.Silent.Microseconds(), store.Gone.Microseconds(), store.Closed.Microseconds(), store.MaxGateways, store.Gone.Milliseconds())

func script(parts ...string) *rueidis.Lua {
	return rueidis.NewLuaScript(prelude + strings.Join(parts, ""))
}

var (
	// look: ARGV field, a new epoch, ttl.
	look = script(hash, `
if not epoch then
  epoch = ARGV[2]
  redis.call('HSET', KEYS[1], 'e', epoch)
end
live(KEYS[1], ARGV[3])
local hold, age, left = 0, 0, 0
if #held > 0 then hold = 1 end
if entry then
  age, left = now - tonumber(string.sub(entry, 1, 16)), tonumber(string.sub(entry, 17, 32)) - now
  entry = string.sub(entry, 33)
  if left <= 0 then entry = false end
end
return {entry, age, left, epoch, hold, start, begun, finished, tried}`)

	// keep: ARGV field, the epoch it takes, life in microseconds, value, ttl, the most entries.
	keep = script(hash, `
if epoch ~= ARGV[2] or #held > 0 or (not entry and #entries >= tonumber(ARGV[6])) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], str(now) .. str(now + ARGV[3]) .. ARGV[4])
live(KEYS[1], ARGV[5])
return 1`)

	// before: ARGV mark, hold in microseconds, a new epoch, ttl, the most marks.
	before = script(hash, `
del(entries)
del(over)
local mark, last = ARGV[1], now + ARGV[2]
if #held >= tonumber(ARGV[5]) then
  del(held)
  mark = 'p:'
  if latest > last then last = latest end
end
redis.call('HSET', KEYS[1], 'e', ARGV[3], 't', 1, mark, str(last))
live(KEYS[1], ARGV[4])
told()
return {start, begun, finished, tried}`)

	// after: ARGV mark, a new epoch, ttl.
	after = script(hash, `
del(entries)
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], 'e', ARGV[2])
live(KEYS[1], ARGV[3])
told()
return 1`)

	// begin: ARGV start, ttl.
	begin = script(`
redis.call('HSETNX', KEYS[1], 's', str(now) .. ARGV[1])
live(KEYS[1], ARGV[2])
return 1`)

	// finish: ARGV mark, ttl.
	finish = script(`
if redis.call('HSETNX', KEYS[1], 'f', ARGV[1]) == 1 then told() end
live(KEYS[1], ARGV[2])
if redis.call('HGET', KEYS[1], 'f') == ARGV[1] then return 1 end
return 0`)

	// paid: the parts of each kind add up to what is known. ARGV kind, mark, amount, ttl, the
	// most parts.
	paid = script(`
local all = redis.call('HGETALL', KEYS[1])
local parts, sum = {}, 0
for i = 1, #all, 2 do
  if string.sub(all[i], 1, #ARGV[1]) == ARGV[1] then
    if all[i] == ARGV[1] .. ARGV[2] then return tonumber(all[i + 1]) end
    parts[#parts + 1] = all[i]
    sum = sum + tonumber(all[i + 1])
  end
end
local more = tonumber(ARGV[3]) - sum
if more <= 0 then return 0 end
if #parts >= tonumber(ARGV[5]) then
  redis.call('HDEL', KEYS[1], unpack(parts))
  redis.call('HSET', KEYS[1], ARGV[1], str(sum))
end
redis.call('HSET', KEYS[1], ARGV[1] .. ARGV[2], str(more))
live(KEYS[1], ARGV[4])
return more`)

	// claim: KEYS[1] has the fields o (owner), s (what is said), u (lease until), a (answer).
	// ARGV mark, says, lease in microseconds, ttl.
	claim = script(`
local c = redis.call('HMGET', KEYS[1], 'o', 's', 'u', 'a')
if not c[1] then
  redis.call('HSET', KEYS[1], 'o', ARGV[1], 's', ARGV[2], 'u', str(now + ARGV[3]))
  live(KEYS[1], ARGV[4])
  return {'yours'}
end
if c[2] ~= ARGV[2] then return {'conflict'} end
if c[4] then return {'answered', 0, c[4]} end
if c[1] == ARGV[1] then return {'yours'} end
local left = tonumber(c[3]) - now
if left > 0 then return {'wait', left} end
return {'lost'}`)

	// answer: ARGV mark, answer, ttl.
	answer = script(`
if redis.call('HGET', KEYS[1], 'o') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'a', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
told()
return 1`)

	// release: ARGV mark.
	release = script(`
if redis.call('HGET', KEYS[1], 'o') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
told()
return 1`)

	// take: ARGV says.
	take = script(`
local c = redis.call('HMGET', KEYS[1], 's', 'a')
if c[1] ~= ARGV[1] or not c[2] then return false end
redis.call('DEL', KEYS[1])
return c[2]`)

	// hint: ARGV value, life.
	hint = script(`
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
told()
return 1`)

	hinted = script(`return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])}`)

	// slot: ARGV gateway, a new boot, size, spare, the longest wait, later, soon.
	slot = script(clock, `
local size, most = tonumber(ARGV[3]), tonumber(ARGV[5])
local open = tonumber(is.open)
local n, last = redis.call('LLEN', KEYS[1]), redis.call('LINDEX', KEYS[1], -1)
if last and tonumber(last) > now + 10000000 then -- the server's clock was set back
  redis.call('DEL', KEYS[1])
  n, open = 0, now
end
if n == 0 then
  if is.ring and now >= open then -- lost, though the gateways are known
    open = now + closed
    redis.call('HSET', KEYS[2], 'open', str(open))
  end
  redis.call('HSET', KEYS[2], 'ring', 1)
  for i = 1, size do redis.call('RPUSH', KEYS[1], str(math.max(now, open))) end
  for i = 1, math.min(tonumber(is.debt or 0), size) do use(now, size) end
  redis.call('HDEL', KEYS[2], 'debt')
  n = size
end
if n < size then
  local back = math.max(now + 1000000, tonumber(redis.call('LINDEX', KEYS[1], -1)))
  for i = n + 1, size do redis.call('RPUSH', KEYS[1], str(back)) end
  n = size
end
live(KEYS[1], gone / 1000)
if now < open then return {'alone', open - now} end
local known, mute = 0, 0
for _, at in pairs(heard) do
  if now - at < gone then
    known = known + 1
    if now - at >= silent then mute = mute + 1 end
  end
end
local spare, more = tonumber(ARGV[4]) + n - size, tonumber(ARGV[6])
if mute > 0 then
  spare = spare + math.floor(size * mute / known)
  more = math.floor(more * (known - mute) / known) -- of what is left
end
local function free(i) return tonumber(redis.call('LINDEX', KEYS[1], i)) - now end
spare = math.max(0, math.min(spare, n - 1))
local wait = math.max(0, free(spare), free(math.max(spare, math.min(spare + more, n - 1))) - ARGV[7])
if wait > most then return {'full', wait} end
use(now + wait, size)
return {'given', wait}`)

	// beat: ARGV gateway, a new boot, calls made without a slot. When nobody could say a word,
	// nobody is gone.
	beat = script(clock, `
local quiet = now - tonumber(is.beat or 0) > 1000000
local seen, mute, dead = 0, 0, {}
for g, at in pairs(heard) do
  if quiet and now - at > silent then
    at = now - silent
    redis.call('HSET', KEYS[2], g, str(at))
  end
  if now - at < silent then seen = seen + 1
  elseif now - at >= gone then dead[#dead + 1] = g
  else mute = mute + 1 end
end
if #dead > 0 then redis.call('HDEL', KEYS[2], unpack(dead)) end
redis.call('HSET', KEYS[2], 'beat', str(now))
local n = redis.call('LLEN', KEYS[1])
for i = 1, math.min(tonumber(ARGV[3]), n) do use(now, n) end
if n == 0 and tonumber(ARGV[3]) > 0 then redis.call('HINCRBY', KEYS[2], 'debt', ARGV[3]) end
if n > 0 then live(KEYS[1], gone / 1000) end
local used = 0
for _, back in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  if tonumber(back) > now then used = used + 1 end
end
return {seen, is.boot, used, mute}`)

	// leave: ARGV gateway.
	leave = script(`
redis.call('HDEL', KEYS[2], 'g:' .. ARGV[1])
return 1`)
)

// milliseconds are those of a duration, at least one: with less, a key would not live.
func milliseconds(d time.Duration) string { return fmt.Sprint(max(1, d.Milliseconds())) }

func microseconds(d time.Duration) string { return fmt.Sprint(d.Microseconds()) }
