"""What the workers know together of the deployments, in Redis: one script for breakers, one for places, one for speeds.

Nothing here is a tenant's: a deployment appears by its id alone. What is lost with Redis is learnt again in seconds, and
meanwhile every deployment counts as healthy.

    {routing}:breakers        hash: id → `open:<until>:<times>`, id:rest → `rest:<until>:0`; closed ones are absent
    {routing}:window:<id>     hash: f:<bucket>, s:<bucket> → failures and successes of late; gone after a minute
    {routing}:probe:<id>      whoever set it may try a deployment whose breaker has been open long enough
    {routing}:places:<id>     sorted set: calls under way → when their lease ends
    {routing}:speeds          hash: id:kind → `<milliseconds>:<weight>:<when>`
    {routing}:underway        hash: id:process → `<calls under way>:<when>`, for people to look at; told once a second

All times are Redis' own, in milliseconds.
"""

from collections.abc import Sequence
from typing import Any

BREAKERS = "{routing}:breakers"
SPEEDS = "{routing}:speeds"
UNDERWAY = "{routing}:underway"
#: Failures and successes are counted over so many buckets of so many milliseconds.
_BUCKETS, _BUCKET_MS = 6, 5_000
_PROBE_MS = 30_000
_NOW = "local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"

_NUMBERS = f"local bucket_ms, buckets, probe_ms = {_BUCKET_MS}, {_BUCKETS}, {_PROBE_MS}\n"

#: A breaker's whole life. Returns what the deployment's state is afterwards, and for `probe` whether the caller may.
_BREAKER = (
    _NOW
    + _NUMBERS
    + """
-- KEYS: breakers, window, probe. ARGV: what happened, id, then
--   fail: successes of the reporter since its last report, least failures, least share of them, shortest and longest ms
--   trip: the same    rest: ms    ok, ready, probe: nothing more
local op, id = ARGV[1], ARGV[2]
local state = redis.call('HGET', KEYS[1], id)
local till, times = 0, 0
if state then
  local a, b = string.match(state, '^open:(%d+):(%d+)$')
  till, times = tonumber(a), tonumber(b)
end
local function open()
  local ms = math.min(tonumber(ARGV[6]) * 2 ^ times, tonumber(ARGV[7]))
  state = 'open:' .. string.format('%d', now + ms) .. ':' .. (times + 1)
  redis.call('HSET', KEYS[1], id, state)
  redis.call('DEL', KEYS[2], KEYS[3])
end
if op == 'fail' then
  if state then
    if now >= till then open() end   -- the probe failed; a straggler's failure says nothing new
  else
    local bucket = math.floor(now / bucket_ms)
    redis.call('HINCRBY', KEYS[2], 'f:' .. bucket, 1)
    redis.call('HINCRBY', KEYS[2], 's:' .. bucket, ARGV[3])
    redis.call('PEXPIRE', KEYS[2], 60000)
    local f, s = 0, 0
    for b = bucket - buckets + 1, bucket do
      f = f + tonumber(redis.call('HGET', KEYS[2], 'f:' .. b) or 0)
      s = s + tonumber(redis.call('HGET', KEYS[2], 's:' .. b) or 0)
    end
    if f >= tonumber(ARGV[4]) and f >= tonumber(ARGV[5]) * (f + s) then open() end
  end
elseif op == 'trip' then
  -- A health check failed: open as long as it does, but not for longer each time, or its return would be seen late.
  times = 0
  open()
elseif op == 'ready' then
  if state and now < till then
    state = 'open:' .. string.format('%d', now) .. ':' .. times
    redis.call('HSET', KEYS[1], id, state)
  end
elseif op == 'ok' then
  redis.call('HDEL', KEYS[1], id)
  redis.call('DEL', KEYS[2], KEYS[3])
  state = false
elseif op == 'rest' then
  local rest = redis.call('HGET', KEYS[1], id .. ':rest')
  local known = rest and tonumber(string.match(rest, '^rest:(%d+):')) or 0
  state = 'rest:' .. string.format('%d', math.max(known, now + tonumber(ARGV[3]))) .. ':0'
  redis.call('HSET', KEYS[1], id .. ':rest', state)
elseif op == 'probe' then
  -- Who finds the breaker closed meanwhile may go ahead as well.
  if not state then return {now, '', 1} end
  local mine = now >= till and redis.call('SET', KEYS[3], '1', 'NX', 'PX', probe_ms)
  return {now, state, mine and 1 or 0}
end
return {now, state or '', 0}
"""
)

_SNAPSHOT = (
    _NOW
    + """
-- KEYS: breakers, speeds. A breaker that nobody asked about for an hour since it might be tried again is forgotten.
local states = redis.call('HGETALL', KEYS[1])
for i = 1, #states, 2 do
  local till = tonumber(string.match(states[i + 1], '^%a+:(%d+):'))
  if till < now - 3600000 then redis.call('HDEL', KEYS[1], states[i]) end
end
return {now, states, redis.call('HGETALL', KEYS[2])}
"""
)

_TAKE = (
    _NOW
    + """
-- KEYS: the places of each candidate, in the order of preference. ARGV: the call, lease ms, `least` or `first`, then for
-- each candidate its limit (0: none) and weight. Takes a place and returns (index, calls there), or (-1, 0) if all are full.
local best, least = -1, math.huge
for i = 1, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
  local calls = redis.call('ZCARD', KEYS[i])
  local limit, weight = tonumber(ARGV[2 + 2 * i]), tonumber(ARGV[3 + 2 * i])
  if (limit == 0 or calls < limit) and calls / weight < least then
    best, least = i, calls / weight
    if ARGV[3] == 'first' then break end
  end
end
if best < 0 then return {-1, 0} end
redis.call('ZADD', KEYS[best], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[best], ARGV[2])
return {best - 1, redis.call('ZCARD', KEYS[best])}
"""
)

_RENEW = (
    _NOW
    + """
-- KEYS: the places of a deployment. ARGV: lease ms, then calls.
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
"""
)

#: An average whose past loses half of its weight in half a minute, so that a slow deployment is tried again in time.
_LEARN = (
    _NOW
    + """
-- KEYS: speeds. ARGV: id:kind, sum of ms, how many; again and again.
for i = 1, #ARGV, 3 do
  local value, weight, at = 0, 0, now
  local known = redis.call('HGET', KEYS[1], ARGV[i])
  if known then
    local v, w, a = string.match(known, '^([^:]+):([^:]+):(%d+)$')
    value, weight, at = tonumber(v), tonumber(w), tonumber(a)
  end
  weight = weight * 0.5 ^ ((now - at) / 30000)
  local sum, n = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  value = (weight * value + sum) / (weight + n)
  weight = math.min(weight + n, 50)
  redis.call('HSET', KEYS[1], ARGV[i], string.format('%.1f:%.3f:%d', value, weight, now))
end
redis.call('PEXPIRE', KEYS[1], 3600000)
"""
)

#: A process that told nothing for this long has ended, or has no calls any more.
_TELLS_MS = 5_000
_TELL_UNDERWAY = (
    _NOW
    + """
-- KEYS: underway. ARGV: the process, then deployment, calls; again and again.
for i = 2, #ARGV, 2 do
  local name = ARGV[i] .. ':' .. ARGV[1]
  if tonumber(ARGV[i + 1]) > 0 then redis.call('HSET', KEYS[1], name, ARGV[i + 1] .. ':' .. string.format('%d', now))
  else redis.call('HDEL', KEYS[1], name) end
end
redis.call('PEXPIRE', KEYS[1], 60000)
"""
)

_READ_UNDERWAY = (
    _NOW
    + f"local tells_ms = {_TELLS_MS}\n"
    + """
-- KEYS: underway. Returns deployment, calls; again and again. What is not told any more is forgotten.
local rows, sums = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #rows, 2 do
  local id = string.match(rows[i], '^([^:]+):')
  local calls, at = string.match(rows[i + 1], '^(%d+):(%d+)$')
  if now - tonumber(at) > tells_ms then redis.call('HDEL', KEYS[1], rows[i])
  else sums[id] = (sums[id] or 0) + tonumber(calls) end
end
local found = {}
for id, calls in pairs(sums) do found[#found + 1] = id; found[#found + 1] = calls end
return found
"""
)


def places(deployment: str) -> str:
    """The key of a deployment's calls under way."""
    return f"{{routing}}:places:{deployment}"


def breaker(op: str, deployment: str, *arguments: Any) -> list[Any]:
    """What EVAL needs to tell a breaker what happened: `fail`, `ok`, `rest`, `probe`,
    or by a health check `trip` or `ready`."""
    keys = [BREAKERS, f"{{routing}}:window:{deployment}", f"{{routing}}:probe:{deployment}"]
    return [_BREAKER, len(keys), *keys, op, deployment, *arguments]


def snapshot() -> list[Any]:
    """What EVAL needs to read every breaker that is not closed, and all speeds."""
    return [_SNAPSHOT, 2, BREAKERS, SPEEDS]


def take(call: str, lease_ms: int, mode: str, candidates: Sequence[tuple[str, int, int]]) -> list[Any]:
    """What EVAL needs to take a place with one of `candidates` (id, limit, weight)."""
    keys = [places(ident) for ident, _, _ in candidates]
    numbers = [number for _, limit, weight in candidates for number in (limit, weight)]
    return [_TAKE, len(keys), *keys, call, lease_ms, mode, *numbers]


def renew(deployment: str, lease_ms: int, calls: Sequence[str]) -> list[Any]:
    """What EVAL needs to keep places a while longer."""
    return [_RENEW, 1, places(deployment), lease_ms, *calls]


def learn(samples: Sequence[tuple[str, float, int]]) -> list[Any]:
    """What EVAL needs to add samples (id:kind, sum of ms, how many) to the speeds."""
    return [_LEARN, 1, SPEEDS, *(part for sample in samples for part in sample)]


def tell_underway(process: str, calls: Sequence[tuple[str, int]]) -> list[Any]:
    """What EVAL needs to tell how many calls of a process are under way with each deployment; 0: none any more."""
    return [_TELL_UNDERWAY, 1, UNDERWAY, process, *(part for told in calls for part in told)]


def read_underway() -> list[Any]:
    """What EVAL needs to read the calls under way of all processes, by deployment."""
    return [_READ_UNDERWAY, 1, UNDERWAY]
