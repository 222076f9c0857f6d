"""The sliding windows in Redis, as two scripts: one looks and takes, one gives back.

A level has a hash with what was taken in each slot (half a second) and a sorted set of its concurrent calls. Of the
slots, those that the last minute touches count in full: so in any 60 seconds at most the limit passes, and at least
119/120 of it can. The sums are kept beside the slots, and made anew when a slot begins; a call in between reads five
fields, whatever the limit is.

    limits:{<tenant>}:<level>:<id>:window
        s           the slot for which the sums hold
        r, t        requests and tokens of the window
        n           the slot that was taken from last
        r<slot>, t<slot>
    limits:{<tenant>}:<level>:<id>:calls    ids of calls under way → when their leases end
"""

#: A window is this many slots, and the one that is under way.
SLOTS = 120
SLOT_MS = 500

_OPEN = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local slot = math.floor(now / slot_ms)
local first = slot - 120
-- The sums of a window and what the slot under way has of them.
local function open(key)
  local state = redis.call('HMGET', key, 's', 'r', 't', 'n', 'r' .. slot, 't' .. slot)
  if not state[1] then return {r = 0, t = 0, n = 0, slot_r = 0, slot_t = 0} end
  local window = {r = tonumber(state[2]), t = tonumber(state[3]), n = tonumber(state[4]),
                  slot_r = tonumber(state[5] or 0), slot_t = tonumber(state[6] or 0)}
  if tonumber(state[1]) == slot then return window end
  local all, gone = redis.call('HGETALL', key), {}
  window.r, window.t = 0, 0
  for i = 1, #all, 2 do
    local at = tonumber(string.sub(all[i], 2))
    if at and at < first then
      gone[#gone + 1] = all[i]
    elseif at then
      local kind = string.sub(all[i], 1, 1)
      window[kind] = window[kind] + tonumber(all[i + 1])
    end
  end
  if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
  redis.call('HSET', key, 's', slot, 'r', window.r, 't', window.t)
  return window
end
"""

TAKE = (
    """
-- KEYS: for each level its window and its concurrent calls.
-- ARGV: length of a slot in ms, id (empty: no place among the concurrent calls), requests, tokens, lease in ms, then for
-- each level requests/min, tokens/min, concurrent calls (0: no limit). Nothing asked for: a look.
-- Answers: verdict, the level that refuses, what it has used, ms until it may pass, now, then for each level requests and
-- tokens used and the ms until its window is empty. It takes from every level or from none.
local slot_ms, id = tonumber(ARGV[1]), ARGV[2]
local requests, tokens, lease = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
"""
    + _OPEN
    + """
-- Ms until slots with `much` of a kind have left the window. A dense one's oldest mostly suffice.
local function wait_for(key, kind, much)
  local oldest = {}
  for i = 1, 8 do oldest[i] = kind .. (first + i - 1) end
  local left = much
  for i, has in ipairs(redis.call('HMGET', key, unpack(oldest))) do
    left = left - tonumber(has or 0)
    if left <= 0 then return (first + i + 120) * slot_ms - now end
  end
  local all, found = redis.call('HGETALL', key), {}
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 1) == kind then
      local at = tonumber(string.sub(all[i], 2))
      if at then found[at] = tonumber(all[i + 1]) end
    end
  end
  for at = first, slot do
    much = much - (found[at] or 0)
    if much <= 0 then return (at + 121) * slot_ms - now end
  end
  return 121 * slot_ms
end
local verdict, by, used, wait, windows = 'ok', 0, 0, 0, {}
local function refuse(why, level, has, ms)
  if verdict == 'ok' then verdict, by, used, wait = why, level, has, ms end
end
for i = 0, #KEYS / 2 - 1 do
  local rpm, tpm, calls = tonumber(ARGV[6 + i * 3]), tonumber(ARGV[7 + i * 3]), tonumber(ARGV[8 + i * 3])
  local key, places = KEYS[1 + i * 2], KEYS[2 + i * 2]
  if rpm > 0 or tpm > 0 then
    local window = open(key)
    windows[i] = window
    if verdict == 'ok' and rpm > 0 and requests > 0 and window.r + requests > rpm then
      refuse('requests', i, window.r, wait_for(key, 'r', window.r + requests - rpm))
    end
    if verdict == 'ok' and tpm > 0 and tokens > 0 and window.t + tokens > tpm then
      if tokens > tpm then refuse('size', i, window.t, 0)
      else refuse('tokens', i, window.t, wait_for(key, 't', window.t + tokens - tpm)) end
    end
  end
  if verdict == 'ok' and calls > 0 and id ~= '' then
    local running = redis.call('ZCARD', places)
    if running >= calls then
      redis.call('ZREMRANGEBYSCORE', places, '-inf', now)
      running = redis.call('ZCARD', places)
    end
    if running >= calls then refuse('concurrent', i, running, 1000) end
  end
end
local answer = {verdict, by, used, wait, now}
for i = 0, #KEYS / 2 - 1 do
  local rpm, tpm, calls = tonumber(ARGV[6 + i * 3]), tonumber(ARGV[7 + i * 3]), tonumber(ARGV[8 + i * 3])
  local window, places = windows[i], KEYS[2 + i * 2]
  if window and verdict == 'ok' and requests + tokens > 0 then
    local key, r, t = KEYS[1 + i * 2], window.r + requests, window.t + tokens
    redis.call('HSET', key, 's', slot, 'r', r, 't', t, 'n', slot,
               'r' .. slot, window.slot_r + requests, 't' .. slot, window.slot_t + tokens)
    redis.call('PEXPIRE', key, 122 * slot_ms)
    window.r, window.t, window.n = r, t, slot
  end
  if verdict == 'ok' and calls > 0 and id ~= '' then
    redis.call('ZADD', places, now + lease, id)
    -- So long that a short lease does not end the set under a longer one.
    redis.call('PEXPIRE', places, math.max(lease, 86400000))
  end
  if window then
    local empties = 0
    if window.r > 0 or window.t > 0 then empties = math.max(0, (window.n + 121) * slot_ms - now) end
    answer[#answer + 1] = window.r; answer[#answer + 1] = window.t; answer[#answer + 1] = empties
  else
    answer[#answer + 1] = 0; answer[#answer + 1] = 0; answer[#answer + 1] = 0
  end
end
return answer
"""
)

GIVE_BACK = """
-- KEYS: sets of concurrent calls, then windows. ARGV: id, how many sets, tokens to give back, the slot they were taken in.
-- They go back into that slot, while the window has it; never more than it holds.
local sets, back, at = tonumber(ARGV[2]), tonumber(ARGV[3]), 't' .. ARGV[4]
for i = 1, sets do redis.call('ZREM', KEYS[i], ARGV[1]) end
for i = sets + 1, #KEYS do
  local left, much = redis.call('HINCRBY', KEYS[i], at, -back), back
  if left < 0 then
    much = back + left
    if much > 0 then redis.call('HINCRBY', KEYS[i], at, -left) else redis.call('HDEL', KEYS[i], at) end
  end
  if much > 0 then redis.call('HINCRBY', KEYS[i], 't', -much) end
end
"""

TAKE_MORE = (
    """
-- KEYS: sets of concurrent calls, then windows. ARGV: id, how many sets, tokens that were used beyond the estimate, length
-- of a slot in ms. They count from now on.
local sets, more, slot_ms = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
"""
    + _OPEN
    + """
for i = 1, sets do redis.call('ZREM', KEYS[i], ARGV[1]) end
for i = sets + 1, #KEYS do
  local window = open(KEYS[i])
  redis.call('HSET', KEYS[i], 's', slot, 'r', window.r, 't', window.t + more, 'n', slot,
             'r' .. slot, window.slot_r, 't' .. slot, window.slot_t + more)
  redis.call('PEXPIRE', KEYS[i], 122 * slot_ms)
end
"""
)
