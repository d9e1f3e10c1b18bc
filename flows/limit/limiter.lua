-- One visit to a limit: registers the caller's numbers, takes its reports, and grants starts. Atomic, idempotent.
--
-- The log holds one entry a request: the latest moment at which the receiver may count it, its score. That is
-- start + hold while nothing is known, and the moment of the answer once there is one. A request may start when, for
-- every window of n per w, the n-th largest score is at least w ago. Then no window holds more than n arrivals,
-- whatever the network does: of n + 1 arrivals within w, the one granted last would have seen n scores too young.
--
-- Of others' requests a caller knows the time to within a round trip to this server only, of its own exactly. `own
-- earlier` is by how much its own entries are too late for itself: its reports took a while to come here, and its starts
-- take a while to come to it. Of two of its own requests neither counts (flows/limit/clock.py says why).
--
-- KEYS  log, flights, numbers, state, askers, hungry, names
-- ARGV  asker, numbers as JSON, wanted, clock has jumped (1 or 0), trusted time, what a crash of this server may lose
--       (seconds; -1: anything), id prefix, first id, name, how far away the caller is (µs both ways; 0: close by),
--       own earlier (µs), and reports, a MessagePack list of triples (kind, id, number):
--       a answered, number µs ago; g given up, number µs ago; u not used; f flight ended; p pause for number µs, id is the reason;
--       l latch, id is the message as JSON
-- All times are µs of this server. `trusted` is the last time the caller saw and found in step with its own clock.

local log, flights, numbers, state, askers = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local hungry, names = KEYS[6], KEYS[7]
local asker, own, wanted, jumped = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1'
local trusted, loss, prefix, first, name = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8]), ARGV[9]
local away, own_earlier = tonumber(ARGV[10]), tonumber(ARGV[11])
local reports = cmsgpack.unpack(ARGV[12])

local HORIZON = 500000     -- starts are granted this far ahead at most
local NEAR = 100000        -- and so far to a caller close by; one far away needs the time that it is away to use them
local TURN = 50000         -- and so much further to whoever has waited longest, which by then has come again
local LEASE = 10000000     -- numbers stay in force this long after their user's last request can have ended
local LONG = 60000000      -- windows above are kept over a restart as far as the record allows, and are not smoothed
local STEP = 1000          -- a clock further back than this was set back
local SLEEP = 2000000      -- who waits for a longer window may sleep, and is told when a slot is handed back
local COMPANY = 1000000    -- whoever was here within this time wants its part
local HUNGER = 500000      -- who has not asked for so long, and the time that the farthest is away, waits in line no more
local ORIGIN = 'origin'    -- lies at the bottom of the log: if it is missing, so is the log

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function text(number) return string.format('%.0f', number) end  -- tostring loses digits above 10^14
local function stretched(window) return math.ceil(window + math.max(2000, window * 0.002)) end  -- clock rates, inclusive edges
local function announce(kind) redis.call('PUBLISH', 'rowrelay:limit:{' .. name .. '}:events', kind .. ' ' .. asker) end

-- The numbers in force: everybody's who was here lately

local set = cjson.decode(own)
local flight, grace = set.flight, set.grace
away = math.min(away, HORIZON - NEAR)
local hold = math.min(set.lapse, set.hold + away)  -- a caller far away may write that much later
redis.call('HSET', numbers, own, text(now + LEASE + flight))
redis.call('ZADD', askers, text(now + LEASE), asker)
redis.call('ZREMRANGEBYSCORE', askers, '-inf', '(' .. text(now))
redis.call('ZREMRANGEBYSCORE', askers, '(' .. text(now + LEASE), '+inf')  -- the clock went back

local windows, sets, cap, gap, live_lapse, longest = {}, 0, nil, 0, 0, 0
local registered = redis.call('HGETALL', numbers)
for i = 1, #registered, 2 do
  set = cjson.decode(registered[i])
  local expires = tonumber(registered[i + 1])
  if expires < now then
    redis.call('HDEL', numbers, registered[i])
  else
    if expires > now + LEASE + set.flight then  -- the clock went back
      redis.call('HSET', numbers, registered[i], text(now + LEASE + set.flight))
    end
    sets = sets + 1
    cap = math.min(cap or set.in_flight, set.in_flight)
    live_lapse = math.max(live_lapse, set.lapse)
    for _, pair in ipairs(set.windows) do
      local n, length = pair[1], pair[2]
      windows[#windows + 1] = {n, stretched(length), length > LONG}
      longest = math.max(longest, stretched(length))
      if length <= LONG then gap = math.max(gap, 0.8 * length / n) end
    end
  end
end

-- What is known of the past
-- born: when the record began. Requests from before may arrive until born + lapse, and nothing is known of them.
-- known: the same for long windows; 0 if their record is whole, or a person said that there was nothing before.
-- purged: up to here, entries have been dropped as older than any window in force.

local info = redis.call('INFO', 'server')
local server = string.match(info, 'run_id:(%w+)')
local s = redis.call('HMGET', state, 'server', 'now', 'last', 'born', 'lapse', 'known', 'purged', 'keep', 'keep_until',
  'paused', 'latched', 'loss', 'cause', 'farthest', 'farthest_until')
local before, last, born, known = tonumber(s[2]), tonumber(s[3]) or 0, tonumber(s[4]), tonumber(s[6]) or 0
local purged, keep, keep_until = tonumber(s[7]) or 0, tonumber(s[8]) or 0, tonumber(s[9]) or 0
local paused, latched, lost, cause = tonumber(s[10]) or 0, s[11], tonumber(s[12]) or -1, s[13] or ''
local lapse = math.max(live_lapse, tonumber(s[5]) or 0)
if longest >= keep or now > keep_until then keep = longest end  -- a window unused for its own length is forgotten
if longest == keep then keep_until = now + keep end

-- The time that the farthest caller of late is away
local farthest, farthest_until = tonumber(s[14]) or 0, math.min(tonumber(s[15]) or 0, now + COMPANY)
if away >= farthest or now > farthest_until then farthest, farthest_until = away, now + COMPANY end

local function begin(why)
  born, cause, last, lapse = now, why, 0, live_lapse
end

local function ghosts()
  -- The crash may have lost `lost` seconds of grants. No more than this many can have gone out in that time.
  local most, need = 0, 0
  for i = 1, #registered, 2 do
    local burst = math.huge
    for _, pair in ipairs(cjson.decode(registered[i]).windows) do
      if pair[2] <= LONG then burst = math.min(burst, pair[1] * (math.floor((lost * 1000000 + HORIZON) / pair[2]) + 1)) end
    end
    most = math.max(most, burst)
  end
  for _, w in ipairs(windows) do
    if w[3] then need = math.max(need, w[1]) end
  end
  if most == math.huge then return false end
  for i = 1, math.min(most, need) do
    redis.call('ZADD', log, text(now + HORIZON + lapse), 'ghost:' .. text(now) .. ':' .. i)
  end
  return true
end

if not born or not before or not redis.call('ZSCORE', log, ORIGIN) then
  begin('new')
  known, purged = now, 0
  redis.call('DEL', log, flights, hungry)
  redis.call('ZADD', log, 0, ORIGIN)
else
  if server ~= s[1] then
    begin('restart')
    if lost < 0 or (lost > 0 and keep > LONG and not ghosts()) then known = now end
  end
  if jumped or now < before - STEP then
    -- By how much is not known: whatever is in the log counts as arriving as late as it still may.
    known = (known > 0 and before < known + lapse + HORIZON + keep) and now or 0
    begin('clock')
    purged = now - keep
    redis.call('DEL', flights, hungry)
    if paused > before then paused = now + paused - before end
    if keep > LONG then
      for _, id in ipairs(redis.call('ZRANGE', log, 1, -1)) do
        redis.call('ZADD', log, text(now + HORIZON + lapse), id)
      end
    else
      redis.call('ZREMRANGEBYRANK', log, 1, -1)
    end
  end
end
if server ~= s[1] then lost = loss elseif loss < 0 or lost < 0 then lost = -1 else lost = math.max(lost, loss) end
redis.call('SADD', names, name)

-- Reports

local handed_back = 0
for _, report in ipairs(reports) do
  local kind, id, number = report[1], report[2], report[3]
  if kind == 'a' then
    redis.call('ZADD', log, 'XX', 'LT', text(now - number), id)
  elseif kind == 'g' and grace >= 0 then
    -- Whoever was frozen gives up late, maybe long after the entry is gone: from then on it may still arrive for a while.
    redis.call('ZADD', log, 'GT', text(now - number + grace), id)
  elseif kind == 'u' then
    handed_back = handed_back + redis.call('ZREM', log, id)
    redis.call('ZREM', flights, id)
  elseif kind == 'f' then
    redis.call('ZREM', flights, id)
  elseif kind == 'p' and now + number > paused then
    paused = now + number
    redis.call('HSET', state, 'pause_reason', id)
    announce('pause')
  elseif kind == 'l' then
    if not latched then
      latched = id
      redis.call('HSET', state, 'latched', id)
    end
    announce('latch')
  end
end
if handed_back > 0 and longest > SLEEP then announce('free') end

-- Purge what no window reaches any more: by trusted time only, since a clock set forward would purge what still counts

local edge = math.min(now, trusted) - keep
if edge > purged then
  redis.call('ZREMRANGEBYSCORE', log, '(0', '(' .. text(edge))
  purged = edge
end
redis.call('ZREMRANGEBYSCORE', flights, '-inf', text(now))

-- Grants

local earliest, why = now + away, 'rate'  -- whoever is far away has to go there once more, to claim a row
local function not_before(moment, reason)
  if moment > earliest then earliest, why = moment, reason end
end

not_before(born + lapse + HORIZON, cause)
for _, w in ipairs(windows) do
  if not w[3] then
    not_before(math.max(born + lapse + HORIZON, purged) + w[2], purged > born + lapse and 'window' or cause)
  elseif known > 0 then
    not_before(math.max(known + lapse + HORIZON, purged) + w[2], 'window')
  else
    not_before(purged + w[2], 'window')
  end
end
local sure, sure_why = why ~= 'rate' and earliest or now, why ~= 'rate' and why or ''
not_before(paused, 'pause')

-- Who was refused stands in line, for a start or for a flight. This is for fairness, and safety does not rest on it.
-- Starts: whoever has waited longest may reserve further ahead than anybody else. Without that they would go to who is
-- farthest away, which reserves ahead of the others, or to who asks more often.
-- Flights are shared out among the askers that want one, or else whoever ended one would take it again at once and
-- the others would never fly. Everybody may hold an equal part; what is left over goes to whoever waited longest.

local held, mine, since, turn = redis.call('ZCARD', flights), 0, now, now
local rivals, longest_wait, spare = 0, now, cap
local line = redis.call('HGETALL', hungry)
local waits = {}
for i = 1, #line, 2 do
  local began, seen, what = string.match(line[i + 1], '(%d+) (%d+) ?(%a*)')
  if tonumber(seen) < now - HUNGER - farthest then
    redis.call('HDEL', hungry, line[i])
  elseif line[i] == prefix then
    since = tonumber(began)
  elseif what == 'start' then
    turn = math.min(turn, tonumber(began))
  else
    rivals, waits[line[i]] = rivals + 1, 0
    longest_wait = math.min(longest_wait, tonumber(began))
  end
end
local part = cap
if rivals > 0 and wanted > 0 then
  part = math.floor(cap / (rivals + 1))
  for _, id in ipairs(redis.call('ZRANGE', flights, 0, -1)) do
    local whose = string.match(id, '^.*%.')
    if whose == prefix then mine = mine + 1 elseif waits[whose] then waits[whose] = waits[whose] + 1 end
  end
  for _, count in pairs(waits) do spare = spare - math.max(0, part - count) end
end
local function may_fly()
  return held < cap and (mine < part or (held < spare and since <= longest_wait))
end

-- Starts are evened out, lest a burst go to one asker and the others wait: `gap` apart on average, and whoever comes
-- late is made up for by one start at once (a leaky bucket of two). Without that, 2 % of the rate went where round
-- trips differ. `last` is where the bucket stands: no start before it.

-- Who visits but once a round trip has to reserve what becomes free until it comes again.
local horizon = math.min(HORIZON, NEAR + 2 * away)
local company = redis.call('ZCOUNT', askers, text(now + LEASE - COMPANY), '+inf')
if company > 1 then
  -- Whoever sees its own slots become free sooner than others do would keep them: in company nobody does.
  own_earlier = 0
  horizon = since <= turn and math.min(HORIZON, NEAR + 2 * farthest + TURN) or NEAR + away
end

local scores  -- the youngest entries in order, the caller's own as it knows them; nil if it knows no more than the log
if own_earlier > 0 then
  local most = 0
  for _, w in ipairs(windows) do most = math.max(most, w[1]) end
  local nth = redis.call('ZRANGE', log, -most, -most, 'WITHSCORES')
  local found = redis.call('ZRANGEBYSCORE', log, text((nth[2] or 0) - own_earlier), '+inf', 'WITHSCORES')
  scores = {}
  for i = 1, #found, 2 do
    local own_entry = string.sub(found[i], 1, #prefix) == prefix
    scores[#scores + 1] = found[i + 1] - (own_entry and own_earlier or 0)
  end
  table.sort(scores)
end

local function nth_largest(n)
  if scores then return scores[#scores - n + 1] end
  return tonumber(redis.call('ZRANGE', log, -n, -n, 'WITHSCORES')[2])
end

local function enter(id, score)
  redis.call('ZADD', log, text(score), id)
  if not scores then return end
  local at = #scores + 1
  while at > 1 and scores[at - 1] > score - own_earlier do at = at - 1 end
  table.insert(scores, at, score - own_earlier)
end

local grants, hint = {}, 0
if latched then
  why, hint = 'latched', NEAR
else
  for i = 1, wanted do
    if not may_fly() then
      why, hint = 'in flight', NEAR
      break
    end
    local start, bound = earliest, why
    if gap > 0 and last > start then start, bound = last, 'rate' end
    local soonest = start  -- if all that is under way were answered now
    for _, w in ipairs(windows) do
      local nth = nth_largest(w[1])
      if nth and nth + w[2] > start then start, bound = nth + w[2], 'rate' end
      if nth then soonest = math.max(soonest, math.min(nth, now) + w[2]) end
    end
    start = math.ceil(start)
    if start - now > horizon then
      why, hint = bound, math.min(start - now - horizon, math.max(NEAR, math.ceil(soonest) - now - horizon))
      break
    end
    local id = prefix .. (first + i - 1)
    enter(id, start + hold)
    redis.call('ZADD', flights, text(start + flight), id)
    if mine >= part then since = now end
    last, held, mine = math.max(last + gap, start), held + 1, mine + 1
    grants[i] = start - now
  end
end

if why == 'in flight' and #grants < wanted then
  redis.call('HSET', hungry, prefix, text(since) .. ' ' .. text(now))
elseif why == 'rate' and #grants < wanted then
  redis.call('HSET', hungry, prefix, text(#grants > 0 and now or since) .. ' ' .. text(now) .. ' start')
else
  redis.call('HDEL', hungry, prefix)
end
redis.call('HSET', state, 'server', server, 'now', text(now), 'last', text(last), 'born', text(born), 'lapse', text(lapse),
  'known', text(known), 'purged', text(purged), 'keep', text(keep), 'keep_until', text(keep_until), 'paused', text(paused),
  'loss', text(lost), 'cause', cause, 'farthest', text(farthest), 'farthest_until', text(farthest_until),
  'sure', text(sure), 'sure_why', sure_why)
return {text(now), why, hint, math.max(0, sure - now), math.max(0, paused - now), latched or '', sets, company, grants}
