-- One visit to the limits of one asker: registers the caller's numbers, takes its reports, and grants starts. Atomic,
-- idempotent. A request needs a place under every limit that it names: it gets all of them here, or none.
--
-- The log of a limit holds one entry a request: the latest moment at which the receiver may count it, its score. That
-- is start + hold while nothing is known, and the moment of the answer once there is one. A request of cost c may start
-- when, for every window of n units per w, the units of those scores that are less than w ago are at most n - c. Then no
-- window holds more than n, whatever the network does: of arrivals within w that make more than n, the one granted last
-- would have seen too many scores too young. The same holds for a period of the calendar, with its begin in place of
-- w ago. Each of these conditions stays true for any later start, so the start is the latest of all of them.
--
-- Of others' requests a caller knows the time to within a round trip to this server only, of its own exactly. `own
-- earlier` is by how much its own entries are too late for itself: its reports took a while to come here, and its starts
-- take a while to come to it. Of two of its own requests neither counts (flows/limit/clock.py says why).
--
-- A limit whose name has a placeholder is one for each value: a family. What is known of the past, who asks and with
-- which numbers is the family's; each value has a log and flights of its own, which end by themselves when idle.
--
-- KEYS  names; of each limit: log, flights, numbers, state, askers, hungry, values; of each slot (a limit, or one value
--       of a family): log, flights, pause
-- ARGV  all MessagePack:
--       1  asker, clock has jumped, trusted time, what a crash of this server may lose (seconds; -1: anything),
--          id prefix, first id, wanted, how far away the caller is (both ways; 0: close by), own earlier
--       2  of each limit: name, numbers as JSON, whether it is a family, and of its calendars: name, begins of periods
--       3  of each slot: which limit, the value's name ('' where the limit has none)
--       4  demands, in order: how many such, then slot and cost in turn
--       5  reports: kind, id, number, then slot and cost in turn. Kinds: a answered, number ago; g given up, number ago;
--          u not used; f flight ended; p pause for number, id is the reason; l latch, id is the message as JSON;
--          r so many more (id) within number
-- All times are µs of this server. `trusted` is the last time the caller saw and found in step with its own clock; of a
-- clock that has jumped, what it would show now at least if it had not.

local head = cmsgpack.unpack(ARGV[1])
local asker, jumped, trusted, loss, prefix, first, wanted, asked_from, asked_earlier = unpack(head)
local given, slots_given = cmsgpack.unpack(ARGV[2]), cmsgpack.unpack(ARGV[3])
local demands, reports = cmsgpack.unpack(ARGV[4]), cmsgpack.unpack(ARGV[5])

local HORIZON = 500000     -- starts are granted this far ahead at most
local NEAR = 100000        -- and so far to a caller close by; one far away needs the time that it is away to use them
local TURN = 50000         -- and so much further to whoever has waited longest, which by then has come again
local LEASE = 10000000     -- numbers stay in force this long after their user's last request can have ended
local LONG = 60000000      -- windows above are kept over a restart as far as the record allows, and are not smoothed
local STEP = 1000          -- a clock further back than this was set back
local SLEEP = 2000000      -- who waits for a longer window may sleep, and is told when a slot is handed back
local COMPANY = 1000000    -- whoever was here within this time wants its part
local HUNGER = 500000      -- who has not asked for so long, and the time that the farthest is away, waits in line no more
local EDGE = 5000000       -- so far the receiver's clock may be from this one where a period of the calendar begins
local IDLE = 3600000       -- ms; what is known of a value ends so long after nothing of it counts any more
local ORIGIN = 'origin'    -- lies at the bottom of the log: if it is missing, so is the log
local PERIODS = {minute = 60, hour = 3600, day = 90000, week = 608400, month = 2682000}  -- seconds, the longest there is

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local away = math.min(asked_from, HORIZON - NEAR)

local function text(number) return string.format('%.0f', number) end  -- tostring loses digits above 10^14
local function stretched(window) return math.ceil(window + math.max(2000, window * 0.002)) end  -- clock rates, inclusive edges
local function announce(l, kind) redis.call('PUBLISH', 'rowrelay:limit:{' .. l.name .. '}:events', kind .. ' ' .. asker) end
local function weight_of(id) return tonumber(string.match(id, '%*(%d+)$')) or 1 end
local function entry_of(id, cost) return cost == 1 and id or id .. '*' .. text(cost) end

-- The numbers in force: those of everybody who was here lately

local function read_numbers(l)
  local set = cjson.decode(l.own)
  l.flight, l.grace = set.flight, set.grace
  l.hold = math.min(set.lapse, set.hold + away)  -- a caller far away may write that much later
  redis.call('HSET', l.numbers, l.own, text(now + LEASE + set.flight))
  redis.call('ZADD', l.askers, text(now + LEASE), asker)
  redis.call('ZREMRANGEBYSCORE', l.askers, '-inf', '(' .. text(now))
  redis.call('ZREMRANGEBYSCORE', l.askers, '(' .. text(now + LEASE), '+inf')  -- the clock went back

  l.windows, l.registered, l.sets, l.gap, l.live_lapse, l.longest, l.longest_flight = {}, {}, 0, 0, 0, 0, 0
  local found = redis.call('HGETALL', l.numbers)
  for i = 1, #found, 2 do
    set = cjson.decode(found[i])
    l.registered[#l.registered + 1] = set
    local expires = tonumber(found[i + 1])
    if expires < now then
      redis.call('HDEL', l.numbers, found[i])
    else
      if expires > now + LEASE + set.flight then  -- the clock went back
        redis.call('HSET', l.numbers, found[i], text(now + LEASE + set.flight))
      end
      l.sets = l.sets + 1
      l.cap = math.min(l.cap or set.in_flight, set.in_flight)
      l.live_lapse = math.max(l.live_lapse, set.lapse)
      l.longest_flight = math.max(l.longest_flight, set.flight)
      l.weighs = l.weighs or set.units
      for _, pair in ipairs(set.windows) do
        local n, length = pair[1], pair[2]
        l.windows[#l.windows + 1] = {n, stretched(length), length > LONG}
        l.longest = math.max(l.longest, stretched(length))
        if length <= LONG then l.gap = math.max(l.gap, 0.8 * length / n) end
      end
      for _, pair in ipairs(set.calendar or {}) do
        local length = stretched(PERIODS[string.match(pair[2], '^%a+')] * 1000000 + 2 * EDGE)
        l.windows[#l.windows + 1] = {pair[1], length, true, pair[2]}
        l.longest = math.max(l.longest, length)
      end
    end
  end
end

-- What is known of the past
-- born: when the record began. Requests from before may arrive until born + lapse, and nothing is known of them.
-- known: the same for long windows; 0 if their record is whole, or a person said that there was nothing before.
-- purged: up to here, entries have been dropped as older than any window in force.

local function begin(l, why)
  l.born, l.cause, l.last, l.lapse, l.slow_last = now, why, 0, l.live_lapse, 0
end

local function ghosts(l)
  -- The crash may have lost `lost` seconds of grants. No more than this can have gone out in that time.
  local most, need = 0, 0
  for _, set in ipairs(l.registered) do
    local burst = math.huge
    for _, pair in ipairs(set.windows) do
      if pair[2] <= LONG then burst = math.min(burst, pair[1] * (math.floor((l.lost * 1000000 + HORIZON) / pair[2]) + 1)) end
    end
    most = math.max(most, burst)
  end
  for _, w in ipairs(l.windows) do
    if w[3] then need = math.max(need, w[1]) end
  end
  if most == math.huge or l.family then return false end
  local count = math.min(most, need)
  local id = 'ghost:' .. text(now) .. ':'
  if l.weighs then
    redis.call('ZADD', l.log, text(now + HORIZON + l.lapse), id .. '*' .. text(count))
  else
    for i = 1, count do redis.call('ZADD', l.log, text(now + HORIZON + l.lapse), id .. i) end
  end
  return true
end

local function read_past(l)
  local s = redis.call('HMGET', l.state, 'server', 'now', 'last', 'born', 'lapse', 'known', 'purged', 'keep', 'keep_until',
    'paused', 'latched', 'loss', 'cause', 'farthest', 'farthest_until', 'slow_gap', 'slow_until', 'slow_last')
  local before, paused_before = tonumber(s[2]), tonumber(s[10]) or 0
  l.last, l.born, l.known = tonumber(s[3]) or 0, tonumber(s[4]), tonumber(s[6]) or 0
  l.purged, l.keep, l.keep_until = tonumber(s[7]) or 0, tonumber(s[8]) or 0, tonumber(s[9]) or 0
  l.paused, l.latched, l.lost, l.cause = paused_before, s[11], tonumber(s[12]) or -1, s[13] or ''
  l.slow_gap, l.slow_until, l.slow_last = tonumber(s[16]) or 0, tonumber(s[17]) or 0, tonumber(s[18]) or 0
  l.lapse = math.max(l.live_lapse, tonumber(s[5]) or 0)
  local kept = l.keep
  if l.longest >= l.keep or now > l.keep_until then l.keep = l.longest end  -- a window unused for its own length is forgotten
  if l.family and l.keep > kept and kept > 0 then l.known = now end  -- logs of values end with what was kept before
  if l.longest == l.keep then l.keep_until = now + l.keep end

  -- The time that the farthest caller of late is away
  l.farthest, l.farthest_until = tonumber(s[14]) or 0, math.min(tonumber(s[15]) or 0, now + COMPANY)
  if away >= l.farthest or now > l.farthest_until then l.farthest, l.farthest_until = away, now + COMPANY end

  if not l.born or not before or not redis.call('ZSCORE', l.log, ORIGIN) then
    begin(l, 'new')
    l.known, l.purged = now, 0
    redis.call('DEL', l.log, l.flights, l.hungry)
    redis.call('ZADD', l.log, 0, ORIGIN)
  else
    if server ~= s[1] then
      begin(l, 'restart')
      if l.lost < 0 or (l.lost > 0 and l.keep > LONG and not ghosts(l)) then l.known = now end
    end
    if jumped or now < before - STEP then
      -- Whatever is in the log counts as arriving as late as it may by what the clock shows now.
      l.known = (l.family or (l.known > 0 and before < l.known + l.lapse + HORIZON + l.keep)) and now or 0
      begin(l, 'clock')
      l.purged = now - l.keep
      redis.call('DEL', l.flights, l.hungry)
      if l.paused > before then l.paused = now + l.paused - before end
      l.slow_until = 0
      if l.keep > LONG then
        -- Set forward, it shows each moment of before that much later; set back, none of them later than it did.
        local later = jumped and math.max(0, now - trusted) or 0
        local kept = redis.call('ZRANGE', l.log, 1, -1, 'WITHSCORES')
        for i = 1, #kept, 2 do
          redis.call('ZADD', l.log, text(math.min(kept[i + 1] + later, now + HORIZON + l.lapse)), kept[i])
        end
      else
        redis.call('ZREMRANGEBYRANK', l.log, 1, -1)
      end
    end
  end
  if server ~= s[1] then
    l.lost = loss
  elseif loss < 0 or l.lost < 0 then
    l.lost = -1
  else
    l.lost = math.max(l.lost, loss)
  end
end

-- The begins of a calendar's periods around now. Whoever asks says them; the latest word is kept for the others.
local function read_calendars(l, said)
  l.calendars = {}
  for i = 1, #said, 2 do
    redis.call('HSET', l.state, 'calendar ' .. said[i], cjson.encode(said[i + 1]))
  end
  for _, w in ipairs(l.windows) do
    if w[4] and not l.calendars[w[4]] then
      local kept = redis.call('HGET', l.state, 'calendar ' .. w[4])
      l.calendars[w[4]] = kept and cjson.decode(kept) or {}
    end
  end
end

local function period_of(l, w, moment)  -- begin of the period that holds a moment (0: not known), and of the next one
  local begun, following = 0, nil
  for _, each in ipairs(l.calendars[w[4]]) do
    if each + EDGE <= moment then
      begun = each
    else
      following = each + EDGE
      break
    end
  end
  return begun, following or math.max(now, moment) + w[2]
end

local function after(l, w, moment)  -- when a window holds nothing of what was before
  if not w[4] then return moment + w[2] end
  local _, following = period_of(l, w, moment + 2 * EDGE)
  return following
end

local limits, slots = {}, {}
for i, each in ipairs(given) do
  local at = 7 * (i - 1) + 1
  limits[i] = {name = each[1], own = each[2], family = each[3], log = KEYS[at + 1], flights = KEYS[at + 2],
    numbers = KEYS[at + 3], state = KEYS[at + 4], askers = KEYS[at + 5], hungry = KEYS[at + 6], values = KEYS[at + 7],
    granted = 0}
end
for i, each in ipairs(slots_given) do
  local at = 7 * #given + 3 * (i - 1) + 1
  slots[i] = {limit = limits[each[1]], value = each[2], log = KEYS[at + 1], flights = KEYS[at + 2], pause = KEYS[at + 3]}
end
for i, l in ipairs(limits) do
  read_numbers(l)
  read_calendars(l, given[i][4])
  read_past(l)
  redis.call('SADD', KEYS[1], l.name)
end

-- Of a value, what its family forgets at once after a step of the clock: what no request can have left
for _, slot in ipairs(slots) do
  local l = slot.limit
  if slot.value ~= '' then
    redis.call('ZREMRANGEBYSCORE', slot.log, '(' .. text(now + HORIZON + l.lapse), '+inf')
    redis.call('ZREMRANGEBYSCORE', slot.flights, '(' .. text(now + HORIZON + l.longest_flight), '+inf')
  end
end

-- Reports

for _, report in ipairs(reports) do
  local kind, id, number = report[1], report[2], report[3]
  for i = 4, #report, 2 do
    local slot = slots[report[i]]
    local l, entry = slot.limit, entry_of(id, report[i + 1])
    if kind == 'a' then
      redis.call('ZADD', slot.log, 'XX', 'LT', text(now - number), entry)
    elseif kind == 'g' and l.grace >= 0 and report[i + 1] > 0 then
      -- Whoever was frozen gives up late, maybe long after the entry is gone: from then on it may still arrive for a while.
      redis.call('ZADD', slot.log, 'GT', text(now - number + l.grace), entry)
    elseif kind == 'u' then
      if redis.call('ZREM', slot.log, entry) > 0 and l.longest > SLEEP then l.handed_back = true end
      redis.call('ZREM', slot.flights, id)
    elseif kind == 'f' then
      redis.call('ZREM', slot.flights, id)
    elseif kind == 'p' and slot.value ~= '' then
      if number > 0 and now + number > tonumber(redis.call('GET', slot.pause) or 0) then
        redis.call('SET', slot.pause, text(now + number), 'PX', math.ceil(number / 1000))
      end
      announce(l, 'pause')
    elseif kind == 'p' and now + number > l.paused then
      l.paused = now + number
      redis.call('HSET', l.state, 'pause_reason', id)
      announce(l, 'pause')
    elseif kind == 'l' then
      if not l.latched then
        l.latched = id
        redis.call('HSET', l.state, 'latched', id)
      end
      announce(l, 'latch')
    elseif kind == 'r' then
      local apart = number / math.max(1, tonumber(id))
      if now >= l.slow_until or apart > l.slow_gap then  -- what one answer says does not quicken what another has said
        l.slow_gap, l.slow_until = apart, math.max(l.slow_until, now + number)
      end
      if tonumber(id) < 1 then l.slow_last = math.max(l.slow_last, now + number) end
    end
  end
end

-- Purge what no window reaches any more: by trusted time only, since a clock set forward would purge what still counts

for _, l in ipairs(limits) do
  if l.handed_back then announce(l, 'free') end
  l.edge = math.min(now, trusted) - l.keep
  if l.edge > l.purged then
    redis.call('ZREMRANGEBYSCORE', l.log, '(0', '(' .. text(l.edge))
    l.purged = l.edge
  end
end
for _, slot in ipairs(slots) do
  if slot.value ~= '' and slot.limit.edge > 0 then
    redis.call('ZREMRANGEBYSCORE', slot.log, '-inf', '(' .. text(slot.limit.edge))
  end
  redis.call('ZREMRANGEBYSCORE', slot.flights, '-inf', text(now))
end

-- Grants: what each limit has to say before a request of its own is looked at

local function look(l)
  l.earliest, l.why = now + away, 'rate'  -- whoever is far away has to go there once more, to claim a row
  local function not_before(moment, reason)
    if moment > l.earliest then l.earliest, l.why = moment, reason end
  end
  not_before(l.born + l.lapse + HORIZON, l.cause)
  for _, w in ipairs(l.windows) do
    if not w[3] then
      not_before(after(l, w, math.max(l.born + l.lapse + HORIZON, l.purged)), l.purged > l.born + l.lapse and 'window' or l.cause)
    elseif l.known > 0 then
      not_before(after(l, w, math.max(l.known + l.lapse + HORIZON, l.purged)), 'window')
    elseif not (w[4] and l.purged + EDGE <= period_of(l, w, now)) then
      not_before(after(l, w, l.purged), 'window')
    end
  end
  l.sure, l.sure_why = l.why ~= 'rate' and l.earliest or now, l.why ~= 'rate' and l.why or ''
  not_before(l.paused, 'pause')

  -- Who was refused stands in line, for a start or for a flight. This is for fairness, and safety does not rest on it.
  -- Starts: whoever has waited longest may reserve further ahead than anybody else. Without that they would go to who
  -- is farthest away, which reserves ahead of the others, or to who asks more often.
  -- Flights are shared out among the askers that want one, or else whoever ended one would take it again at once and
  -- the others would never fly. Everybody may hold an equal part; what is left over goes to whoever waited longest.
  -- The values of a family are too many and too small to stand in line for.
  l.since, l.turn, l.longest_wait, l.spare, l.part, l.mine = now, now, now, l.cap, l.cap, 0
  l.reserve = 0
  local rivals, waits, costs = 0, {}, {}
  local line = redis.call('HGETALL', l.hungry)
  for i = 1, #line, 2 do
    local began, seen, what, cost = string.match(line[i + 1], '(%d+) (%d+) ?(%a*) ?(%d*)')
    if tonumber(seen) < now - HUNGER - l.farthest then
      redis.call('HDEL', l.hungry, line[i])
    elseif line[i] == prefix then
      l.since = tonumber(began)
    elseif what == 'start' then
      l.turn = math.min(l.turn, tonumber(began))
      costs[#costs + 1] = {tonumber(began), tonumber(cost) or 1}
    else
      rivals, waits[line[i]] = rivals + 1, 0
      l.longest_wait = math.min(l.longest_wait, tonumber(began))
    end
  end
  -- Whoever has waited longer for a request of many units would never find them free at once: they are left to it.
  for _, each in ipairs(costs) do
    if each[1] < l.since and each[2] > 1 then l.reserve = math.max(l.reserve, each[2]) end
  end
  if rivals > 0 and wanted > 0 then
    l.part = math.floor(l.cap / (rivals + 1))
    for _, id in ipairs(redis.call('ZRANGE', l.flights, 0, -1)) do
      local whose = string.match(id, '^.*%.')
      if whose == prefix then l.mine = l.mine + 1 elseif waits[whose] then waits[whose] = waits[whose] + 1 end
    end
    for _, count in pairs(waits) do l.spare = l.spare - math.max(0, l.part - count) end
  end

  -- Who visits but once a round trip has to reserve what becomes free until it comes again.
  l.horizon, l.own_earlier = math.min(HORIZON, NEAR + 2 * away), asked_earlier
  l.company = redis.call('ZCOUNT', l.askers, text(now + LEASE - COMPANY), '+inf')
  if l.company > 1 then
    -- Whoever sees its own slots become free sooner than others do would keep them: in company nobody does.
    l.own_earlier = 0
    l.horizon = l.since <= l.turn and math.min(HORIZON, NEAR + 2 * l.farthest + TURN) or NEAR + away
  end
end

for _, l in ipairs(limits) do look(l) end

-- Starts are evened out, lest a burst go to one asker and the others wait: `gap` apart on average, and whoever comes
-- late is made up for by one start at once (a leaky bucket of two). Without that, 2 % of the rate went where round
-- trips differ. `last` is where the bucket stands: no start before it. The values of a family are not evened out.

-- The youngest entries in order, the caller's own as it knows them; nil where the caller knows no more than the log
local function read_entries(slot)
  local l = slot.limit
  if slot.read then return end
  slot.read, slot.counts, slot.held = true, {}, redis.call('ZCARD', slot.flights)
  slot.paused = slot.value ~= '' and tonumber(redis.call('GET', slot.pause)) or 0
  if l.own_earlier <= 0 and not l.weighs then return end
  local floor = '(0'
  if not l.weighs then
    local most = 0
    for _, w in ipairs(l.windows) do most = math.max(most, w[1]) end
    local nth = redis.call('ZRANGE', slot.log, -most, -most, 'WITHSCORES')
    floor = text((nth[2] or 0) - l.own_earlier)
  end
  local found = redis.call('ZRANGEBYSCORE', slot.log, floor, '+inf', 'WITHSCORES')
  slot.entries = {}
  for i = 1, #found, 2 do
    local own_entry = string.sub(found[i], 1, #prefix) == prefix
    local weight = l.weighs and weight_of(found[i]) or 1
    slot.entries[#slot.entries + 1] = {found[i + 1] - (own_entry and l.own_earlier or 0), weight}
  end
  table.sort(slot.entries, function(one, other) return one[1] < other[1] end)
end

-- The youngest entry that has to be a window ago before `cost` more of `n` units may start; nil if none
local function in_the_way(slot, n, cost)
  if not slot.entries then
    return tonumber(redis.call('ZRANGE', slot.log, -n, -n, 'WITHSCORES')[2])
  end
  local units = 0
  for i = #slot.entries, 1, -1 do
    units = units + slot.entries[i][2]
    if units > n - cost then return slot.entries[i][1] end
  end
end

local function units_since(slot, moment)
  if not slot.counts[moment] then
    if slot.limit.weighs then
      slot.counts[moment] = 0
      for _, entry in ipairs(slot.entries) do
        if entry[1] >= moment - slot.limit.own_earlier then slot.counts[moment] = slot.counts[moment] + entry[2] end
      end
    else
      slot.counts[moment] = redis.call('ZCOUNT', slot.log, moment > 0 and text(moment) or '(0', '+inf')
    end
  end
  return slot.counts[moment]
end

local function enter(slot, id, cost, score)
  local l = slot.limit
  if cost > 0 then
    redis.call('ZADD', slot.log, text(score), entry_of(id, cost))
    for moment in pairs(slot.counts) do
      if score >= moment then slot.counts[moment] = slot.counts[moment] + cost end
    end
    if slot.entries then
      local at = #slot.entries + 1
      while at > 1 and slot.entries[at - 1][1] > score - l.own_earlier do at = at - 1 end
      table.insert(slot.entries, at, {score - l.own_earlier, cost})
    end
  end
end

local function may_fly(slot)
  local l = slot.limit
  if slot.value ~= '' then return slot.held < l.cap end
  return slot.held < l.cap and (l.mine < l.part or (slot.held < l.spare and l.since <= l.longest_wait))
end

-- The start that one slot allows at the earliest, why, and the earliest if all that is under way were answered now
local function place(slot, cost)
  local l = slot.limit
  read_entries(slot)
  if l.latched then return nil, 'latched', NEAR end
  if not may_fly(slot) then return nil, 'in flight', NEAR end
  local start, why = l.earliest, l.why
  if slot.paused > start then start, why = slot.paused, 'pause' end
  if slot.value == '' and l.gap > 0 and l.last > start then start, why = l.last, 'rate' end
  if l.slow_until > start and l.slow_last + l.slow_gap > start then
    start, why = math.min(l.slow_until, l.slow_last + l.slow_gap), 'slowed'
  end
  local soonest = start
  for _, w in ipairs(l.windows) do
    if cost > w[1] then return nil, 'too much', SLEEP end
    if l.reserve > 0 and cost + l.reserve > w[1] then return nil, 'rate', NEAR end
    if w[4] then
      local begun, following = period_of(l, w, start)
      while units_since(slot, math.max(0, begun - EDGE)) + cost + l.reserve > w[1] do
        start, why = following, 'rate'
        if begun == 0 or start > now + HORIZON then break end
        begun, following = period_of(l, w, start)
      end
      soonest = math.max(soonest, start)
    else
      local score = in_the_way(slot, w[1] - l.reserve, cost)
      if score and score + w[2] > start then start, why = score + w[2], 'rate' end
      if score then soonest = math.max(soonest, math.min(score, now) + w[2]) end
    end
  end
  return start, why, soonest
end

local starts, granted, hint, why, bound = {}, 0, nil, '', 0
local full = {}  -- slots that have refused a request

local function refuse(i, slot, reason, seconds, cost)
  if slot then
    full[slot] = reason ~= 'too much' or nil  -- what never fits holds up nobody
    if not slot.limit.refused then slot.limit.refused, slot.limit.refused_cost = reason, cost end
    if why == '' then
      why = reason
      for at, l in ipairs(limits) do
        if l == slot.limit then bound = at end
      end
    end
  end
  if seconds then hint = math.min(hint or seconds, seconds) end
  starts[i] = -1
end

local function ask(i, demand)
  local start, binding, reason, soonest, bound_cost = 0, nil, '', 0, 1
  for at = 2, #demand, 2 do
    if full[slots[demand[at]]] then return refuse(i) end
  end
  for at = 2, #demand, 2 do
    local slot, cost = slots[demand[at]], demand[at + 1]
    local earliest, found, soon = place(slot, cost)
    if not earliest then return refuse(i, slot, found, soon, cost) end
    if earliest > start or not binding then start, binding, reason, bound_cost = earliest, slot, found, cost end
    soonest = math.max(soonest, soon)
  end
  start = math.ceil(start)
  local horizon = binding.limit.horizon
  if start - now > horizon then
    local seconds = math.min(start - now - horizon, math.max(NEAR, math.ceil(soonest) - now - horizon))
    return refuse(i, binding, reason, seconds, bound_cost)
  end
  local id = prefix .. (first + i - 1)
  for at = 2, #demand, 2 do
    local slot, cost = slots[demand[at]], demand[at + 1]
    local l = slot.limit
    enter(slot, id, cost, start + l.hold)
    redis.call('ZADD', slot.flights, text(start + l.flight), id)
    slot.held = slot.held + 1
    if slot.value == '' then
      if l.mine >= l.part then l.since = now end
      l.last, l.mine = math.max(l.last + l.gap * cost, start), l.mine + 1
    else
      local ends = math.ceil((l.keep + l.lapse + l.flight) / 1000) + IDLE
      redis.call('PEXPIRE', slot.log, ends)
      redis.call('PEXPIRE', slot.flights, ends)
      redis.call('ZADD', l.values, text(now), slot.value)
      redis.call('PEXPIRE', l.values, ends)
    end
    l.slow_last = math.max(l.slow_last, start)
    l.granted = l.granted + 1
  end
  starts[i], granted = start - now, granted + 1
end

local i = 0
for _, demand in ipairs(demands) do
  for _ = 1, demand[1] do
    i = i + 1
    if granted < wanted then ask(i, demand) else starts[i] = -1 end
  end
end

local found = {}
for at, l in ipairs(limits) do
  if l.latched and why == '' then why, hint, bound = 'latched', NEAR, at end
  if l.family then
    redis.call('ZREMRANGEBYSCORE', l.values, '-inf', text(now - l.keep - l.lapse))
  elseif l.refused == 'in flight' then
    redis.call('HSET', l.hungry, prefix, text(l.since) .. ' ' .. text(now))
  elseif l.refused == 'rate' then
    local cost = (l.refused_cost or 1) > 1 and ' ' .. text(l.refused_cost) or ''
    redis.call('HSET', l.hungry, prefix, text(l.granted > 0 and now or l.since) .. ' ' .. text(now) .. ' start' .. cost)
  else
    redis.call('HDEL', l.hungry, prefix)
  end
  redis.call('HSET', l.state, 'server', server, 'now', text(now), 'last', text(l.last), 'born', text(l.born),
    'lapse', text(l.lapse), 'known', text(l.known), 'purged', text(l.purged), 'keep', text(l.keep),
    'keep_until', text(l.keep_until), 'paused', text(l.paused), 'loss', text(l.lost), 'cause', l.cause,
    'farthest', text(l.farthest), 'farthest_until', text(l.farthest_until), 'slow_gap', text(l.slow_gap),
    'slow_until', text(l.slow_until), 'slow_last', text(l.slow_last), 'sure', text(l.sure), 'sure_why', l.sure_why)
  found[at] = {math.max(0, l.sure - now), math.max(0, l.paused - now), l.latched or '', l.sets, l.company, l.sure_why}
end
return {text(now), why, hint or 0, bound, found, starts}
