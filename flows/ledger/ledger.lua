-- Every change of a row's state goes through this script: the guards, the state and the counters move in one step.
--
-- KEYS[1]  the hash of the run; the other keys of a run are this one plus a suffix (keys.py names them)
-- ARGV[1]  what is asked; the rest depends on it, see the functions at the end
--
-- ALLOWED[event][from][to] is put in front of this text by ledger.py, from the one table of transitions.
-- A row's record: state, epoch and serial of its latest claim, generation of its idempotency key, last resend
-- request, attempts, and a time in 10 ms since the run was created: of the claim, or, while waiting, the earliest
-- time of the next one. What follows the head belongs to the client and is not read here.
--
-- A row is in doubt once an attempt of its generation may have been acted on and nobody knows. Only an answer that
-- speaks of the row itself ends the doubt: an attempt without effect leaves such a row `unknown`, never `waiting` (it
-- would be sent again by itself) nor `failed` (it would get a new key). Its time is that of the first claim under its
-- key, because the API forgets keys from then on.

local HEAD, HEAD_SIZE, DOUBT = '>BHIHHBI', 16, 128
local NAMES = {[0] = 'waiting', [1] = 'sending', [2] = 'done', [3] = 'failed', [4] = 'unknown', [5] = 'rejected', [6] = 'accepted'}
local CODES = {waiting = 0, sending = 1, done = 2, failed = 3, unknown = 4, rejected = 5, accepted = 6}
local INDEXED = {done = true, failed = true, unknown = true, accepted = true} -- states with a bitmap; rejected has one set by the check

local run = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000) -- ms

local function field(name)
  return redis.call('HGET', run, name) or ''
end

local created = tonumber(field('created')) or now

local function ticks(ms)
  return math.max(0, math.min(4294967295, math.floor((ms - created) / 10)))
end

local function address(row)
  return run .. ':rows:' .. math.floor((row - 1) / 100), (row - 1) % 100
end

-- The record of a row. A row without one waits, unless the check rejected it or the file has no such row.
local function load(row)
  local key, slot = address(row)
  local raw = redis.call('HGET', key, slot)
  local rec = {row = row, key = key, slot = slot}
  if raw then
    local code
    code, rec.epoch, rec.serial, rec.generation, rec.request, rec.attempts, rec.at = struct.unpack(HEAD, raw)
    rec.doubt = code >= DOUBT
    rec.state, rec.tail = NAMES[code % DOUBT], string.sub(raw, HEAD_SIZE + 1)
    return rec
  end
  rec.epoch, rec.serial, rec.generation, rec.request, rec.attempts, rec.at, rec.tail = 0, 0, 0, 0, 0, 0, ''
  if row > (tonumber(field('total')) or 0) or redis.call('GETBIT', run .. ':is:rejected', row - 1) == 1 then
    rec.state = 'rejected'
  else
    rec.state = 'waiting'
  end
  return rec
end

local moved = {}

-- Rows of the same key are not under way at once, where a lookup of one has to see what another has made. Who holds a
-- key is kept for all runs of the pipeline, and for a run which row holds which.
local function holders()
  return 'rowrelay:keys:' .. field('pipeline')
end

-- Whether a row may hold a key: nobody else does. A row holds it while it is under way: as long as its deliverer keeps
-- the run, or its attempt can still be answered.
local function may_hold(digest, row)
  local holder = redis.call('HGET', holders(), digest)
  if not holder then
    return true
  end
  local until_, other, its = string.match(holder, '^(%d+) (.+) (%d+)$')
  its = tonumber(its)
  if other == run and its == row then
    return true
  end
  local raw = redis.call('HGET', other .. ':rows:' .. math.floor((its - 1) / 100), (its - 1) % 100)
  if not raw or string.byte(raw) % DOUBT ~= CODES.sending then
    return true
  end
  return tonumber(until_) <= now and (tonumber(redis.call('HGET', other, 'lease') or '0') or 0) <= now
end

local function hold_key(digest, row, until_)
  redis.call('HSET', holders(), digest, string.format('%.0f', until_) .. ' ' .. run .. ' ' .. string.format('%.0f', row))
  redis.call('HSET', run .. ':held', row, digest)
end

local function release(row)
  local digest = redis.call('HGET', run .. ':held', row)
  if digest then
    redis.call('HDEL', run .. ':held', row)
    if may_hold(digest, row) then
      redis.call('HDEL', holders(), digest)
    end
  end
end

local function save(rec)
  rec.doubt = rec.state == 'unknown' or rec.doubt and (rec.state == 'sending' or rec.state == 'waiting')
  local code = CODES[rec.state] + (rec.doubt and DOUBT or 0)
  redis.call('HSET', rec.key, rec.slot, struct.pack(HEAD, code, rec.epoch, rec.serial, rec.generation,
    rec.request, rec.attempts, rec.at) .. rec.tail)
end

-- Move a row if the table allows it: counters, index and queue of the sending follow. False if not allowed.
local function move(event, rec, to)
  local from = rec.state
  local targets = ALLOWED[event][from]
  if not (targets and targets[to]) then
    return false
  end
  if from ~= to then
    moved[from] = (moved[from] or 0) - 1
    moved[to] = (moved[to] or 0) + 1
    if INDEXED[from] then
      redis.call('SETBIT', run .. ':is:' .. from, rec.row - 1, 0)
    end
    if INDEXED[to] then
      redis.call('SETBIT', run .. ':is:' .. to, rec.row - 1, 1)
    end
    if from == 'sending' then
      redis.call('ZREM', run .. ':sending', rec.row)
      release(rec.row)
    end
    rec.state = to
  end
  return true
end

local function count()
  for state, delta in pairs(moved) do
    if delta ~= 0 then
      redis.call('HINCRBY', run, state, delta)
    end
  end
end

-- Add to what has happened in the runs of this run's pipeline, deleted ones included: counters only rise.
local function total(kind, n)
  redis.call('HINCRBY', 'rowrelay:totals', kind .. ':' .. field('pipeline'), n)
end

local function asked(row)
  return redis.call('GETBIT', run .. ':asked', row - 1) == 1
end

-- Whether this epoch has the run. An empty one is nobody's, and is not asked.
local function has(epoch)
  return redis.call('EXISTS', run) == 1 and (epoch == '' or tonumber(field('epoch')) == tonumber(epoch))
end

-- What is kept of a row whose steps are under way: the claim that went on with them, whether a request that writes may
-- have been sent under it, and how far they were. → epoch, serial, open; none where there is nothing
local STEPS = '>IIB'
local function steps_of(row)
  local raw = redis.call('HGET', run .. ':steps', row)
  if raw then
    return struct.unpack(STEPS, raw)
  end
end

-- Whether an attempt that is not answered may have had an effect. Of steps only those that write have: before each of
-- them it is noted that it goes.
local function may_have_acted(rec)
  if field('steps') ~= '1' then
    return true
  end
  local epoch, serial, open = steps_of(rec.row)
  return epoch == rec.epoch and serial == rec.serial and open == 1
end

-- Rows of dead deliverers whose attempt can no longer be answered. The present epoch's own are its own business.
local function settle(epoch, most)
  local due = redis.call('ZRANGEBYSCORE', run .. ':sending', '-inf', now, 'LIMIT', 0, most)
  local settled = 0
  for _, row in ipairs(due) do
    local rec = load(tonumber(row))
    if rec.epoch < epoch and move('settle', rec, (rec.doubt or may_have_acted(rec)) and 'unknown' or 'waiting') then
      save(rec)
      settled = settled + 1
    end
  end
  return settled
end

-- A lease ends `leased` ms after it was taken at the latest: more can be left only if this server's clock was set back.
local function hold(lease)
  redis.call('HSET', run, 'lease', string.format('%.0f', now + lease), 'leased', lease)
end

local ask = {}

-- take, owner, lease ms, resume(0|1): the sole right to deliver, for as long as the lease is renewed.
-- → {1, epoch} or {0, ms left of another's lease, its owner}
function ask.take(owner, lease, resume)
  if redis.call('EXISTS', run) == 0 then
    return {-1, 0, ''}
  end
  local left = (tonumber(field('lease')) or 0) - now
  if left > 0 and left <= (tonumber(field('leased')) or left) and field('owner') ~= owner then
    return {0, left, field('owner')}
  end
  local epoch = redis.call('HINCRBY', run, 'epoch', 1)
  redis.call('HSET', run, 'owner', owner)
  hold(lease)
  if resume == '1' then
    redis.call('HDEL', run, 'cancel')
  end
  return {1, epoch, ''}
end

-- renew, epoch, lease ms → {1, rows settled as unknown, rows of older epochs still sending, cancel flag} or {0}
function ask.renew(epoch, lease)
  epoch = tonumber(epoch)
  if tonumber(field('epoch')) ~= epoch then
    return {0, 0, 0, 0}
  end
  hold(lease)
  local settled = settle(epoch, 500)
  count()
  local older = 0
  for _, row in ipairs(redis.call('ZRANGE', run .. ':sending', 0, 4999)) do
    if load(tonumber(row)).epoch < epoch then
      older = older + 1
    end
  end
  return {1, settled, older, field('cancel') == '' and 0 or 1}
end

-- end, epoch, state, reason: give the run back. → 1, or 0 if another epoch has it
ask['end'] = function(epoch, state, reason)
  if tonumber(field('epoch')) ~= tonumber(epoch) then
    return 0
  end
  if field('state') ~= state then -- or it was said before, and the reply was lost
    local well = (tonumber(field('done')) or 0) + (tonumber(field('skipped')) or 0) == (tonumber(field('total')) or 0)
    total(state == 'finished' and not well and 'finished_with_errors' or state, 1)
  end
  redis.call('HSET', run, 'state', state, 'reason', reason, 'lease', '0', 'owner', '', 'ended', string.format('%.0f', now))
  return 1
end

-- facts, epoch or '', field/value pairs: note them, unless the run is gone or another epoch has it. → 1 or 0
function ask.facts(epoch, ...)
  if not has(epoch) then
    return 0
  end
  redis.call('HSET', run, ...)
  return 1
end

-- pace, process, what it has sent of the run so far, its worst window: of any epoch, since it did happen. The worst of
-- all processes only rises. → 1, or 0 if the run is gone
function ask.pace(process, sent, peak)
  if not has('') then
    return 0
  end
  redis.call('HSET', run .. ':paces', process, sent)
  if tonumber(peak) > (tonumber(field('peak')) or 0) then
    redis.call('HSET', run, 'peak', peak)
  end
  return 1
end

-- trim, second: fold what the chart has of the seconds before this one into its minutes, whoever else is about to
function ask.trim(before)
  local found = redis.call('HGETALL', run .. ':seconds')
  for i = 1, #found, 2 do
    local second, kind = string.match(found[i], '^(%d+):(.*)$')
    if tonumber(second) < tonumber(before) then
      redis.call('HINCRBY', run .. ':minutes', string.format('%.0f', math.floor(second / 60)) .. ':' .. kind, found[i + 1])
      redis.call('HDEL', run .. ':seconds', found[i])
    end
  end
end

-- afresh, epoch: forget what an earlier, unfinished check wrote. → 1, or 0 if another epoch has the run
function ask.afresh(epoch)
  if not has(epoch) then
    return 0
  end
  redis.call('DEL', run .. ':is:rejected', run .. ':samples')
  return 1
end

-- reject, epoch, then row/sample pairs ('' = none): mark the rows as rejected and keep the samples, of each row once.
-- → 1, or 0 if another epoch has the run
function ask.reject(epoch, ...)
  if not has(epoch) then
    return 0
  end
  local pairs_ = {...}
  for i = 1, #pairs_, 2 do
    local known = redis.call('SETBIT', run .. ':is:rejected', pairs_[i] - 1, 1) == 1
    if not known and pairs_[i + 1] ~= '' then
      redis.call('RPUSH', run .. ':samples', pairs_[i + 1])
    end
  end
  return 1
end

-- begin, epoch, total, rejected, then field/value pairs: the check is over, its totals stand. One write, so that a
-- crash before it checks afresh and one after it never does. → 1, or 0 if another epoch has the run
function ask.begin(epoch, total, rejected, ...)
  if not has(epoch) then
    return 0
  elseif (tonumber(field('total')) or 0) > 0 then
    return field('total') == total and field('begun') == epoch and 1 or 0 -- said before; the reply was lost
  end
  local found = redis.call('BITCOUNT', run .. ':is:rejected')
  if found ~= tonumber(rejected) then
    return redis.error_reply('rejections do not add up: ' .. found .. ' marked, ' .. rejected .. ' counted')
  end
  redis.call('HSET', run, 'total', total, 'rejected', rejected, 'waiting', tonumber(total) - tonumber(rejected),
    'sending', 0, 'accepted', 0, 'done', 0, 'failed', 0, 'unknown', 0, 'begun', epoch, ...)
  return 1
end

-- mend, epoch that the run had, number of the document, what is kept of it, bitmap of the rejected rows, how many samples
-- of them, these, then field/value pairs: the check's totals anew, in one write, before any row could be claimed. What the
-- check itself rejected is kept once. → 1 (also where it was said before), 0 if the run is another's or was mended
-- meanwhile, -1 if it is not one that was only checked
function ask.mend(epoch, number, entry, bits, samples, ...)
  number = tonumber(number)
  local known, total = redis.call('LLEN', run .. ':mends'), tonumber(field('total')) or 0
  if known == number and redis.call('LINDEX', run .. ':mends', -1) == entry then
    return 1
  elseif not has(epoch) or known ~= number - 1 or (tonumber(field('lease')) or 0) > now then
    return 0
  end
  for _, state in ipairs({'sending', 'accepted', 'done', 'failed', 'unknown'}) do
    if (tonumber(field(state)) or 0) > 0 then
      return -1
    end
  end
  if field('state') ~= 'checking' or total == 0 then
    return -1
  end
  if redis.call('EXISTS', run .. ':refused') == 0 then
    redis.call('SET', run .. ':refused', redis.call('GET', run .. ':is:rejected') or '')
  end
  redis.call('SET', run .. ':is:rejected', bits)
  local rejected, values = redis.call('BITCOUNT', run .. ':is:rejected'), {...}
  redis.call('DEL', run .. ':samples')
  for at = 1, tonumber(samples) do
    redis.call('RPUSH', run .. ':samples', values[at])
  end
  redis.call('RPUSH', run .. ':mends', entry)
  redis.call('HSET', run, 'rejected', rejected, 'waiting', total - rejected, unpack(values, tonumber(samples) + 1))
  return 1
end

-- open, epoch: rows may be claimed from now on. → 1, or 0 if another epoch has the run
function ask.open(epoch)
  if not has(epoch) then
    return 0
  end
  redis.call('HSET', run, 'state', 'sending', 'reason', '', 'ended', '')
  return 1
end

-- The rows of the parcel that a row last went in, as text. Where nothing is kept of it, it went alone. A parcel is read
-- once a call, however many of its rows are asked about.
local kept = {}
local function went_in(rec)
  local name = rec.epoch .. ':' .. rec.serial
  if kept[name] == nil then
    kept[name] = redis.call('HGET', run .. ':parcels', name)
  end
  return kept[name] or string.format('%.0f', rec.row)
end

-- Keep which rows a claim has. What the claim before had is of no use any more where this one has the very same rows.
local function keep_parcel(epoch, serial, parcel, first)
  local name, old = epoch .. ':' .. serial, first.epoch .. ':' .. first.serial
  if first.serial > 0 and old ~= name and went_in(first) == parcel then
    redis.call('HDEL', run .. ':parcels', old)
  end
  redis.call('HSET', run .. ':parcels', name, parcel)
  kept[name] = parcel
end

-- Whether a row's parcel is to be had again: as long as nothing is known of any of its rows.
local broken = {}
local function is_broken(rec)
  local name = rec.epoch .. ':' .. rec.serial
  if broken[name] == nil then
    broken[name] = false
    for row in string.gmatch(went_in(rec), '%d+') do
      if not load(tonumber(row)).doubt then
        broken[name] = true
        break
      end
    end
  end
  return broken[name]
end

-- Whether a claim may have a row: the generation of its idempotency key, -1 it is not to be sent, -2 not yet; and the
-- move that the claim is, none where the row is in its hands already. What a row in doubt may do again, it may only do
-- in the very parcel in which it went: the API knows that one by its key. Once something is known of others of that
-- parcel it cannot go again, and a row of it that a person asked for goes in another.
local function claimable(rec, epoch, serial, idempotency, parcel)
  local same = rec.epoch == epoch and rec.serial == serial
  if same and rec.state == 'sending' then
    return rec.generation -- the reply to this very claim was lost
  elseif same and (rec.state == 'waiting' or rec.state == 'unknown') then
    return -1 -- this very claim has had its outcome: it comes late, or once more
  elseif rec.doubt and went_in(rec) ~= parcel and not (rec.state == 'waiting' and is_broken(rec)) then
    return -1
  elseif rec.state == 'waiting' and not rec.doubt and rec.at > ticks(now) then
    return -2
  elseif rec.state == 'waiting' then
    return rec.generation, 'claim'
  elseif rec.state == 'unknown' and ticks(now) - rec.at < idempotency / 10 then
    return rec.generation, 'again'
  end
  return -1
end

-- claim, epoch, ms until an unanswered attempt is given up, idempotency ms (0: unknown rows stay), then of each parcel
-- the claim's serial, its rows with commas between them, and as many digests of the keys that its rows must hold, or ''.
-- → {why, answer a row…}: why is 'ok', 'superseded', 'cancelled' or the run's state; the answer as `claimable` has it. A
-- parcel goes whole or not at all: where one of its rows is not to be had, those that are answer -2.
function ask.claim(epoch, patience, idempotency, ...)
  epoch, patience, idempotency = tonumber(epoch), tonumber(patience), tonumber(idempotency)
  if tonumber(field('epoch')) ~= epoch then
    return {'superseded'}
  elseif field('cancel') ~= '' then
    return {'cancelled'}
  elseif field('state') ~= 'sending' then
    return {field('state')}
  end
  local values, answers = {...}, {'ok'}
  for at = 1, #values, 3 do
    local serial, parcel, next_key = tonumber(values[at]), values[at + 1], string.gmatch(values[at + 2], '[^,]+')
    local recs, whole = {}, true
    for row in string.gmatch(parcel, '%d+') do
      local rec = load(tonumber(row))
      rec.answer, rec.event = claimable(rec, epoch, serial, idempotency, parcel)
      rec.digest = next_key()
      if rec.answer >= 0 and rec.digest and not may_hold(rec.digest, rec.row) then
        rec.answer = -2
      end
      whole = whole and rec.answer >= 0
      recs[#recs + 1] = rec
    end
    if whole and #recs > 1 then
      keep_parcel(epoch, serial, parcel, recs[1])
    end
    for _, rec in ipairs(recs) do
      if whole and rec.event and move(rec.event, rec, 'sending') then
        rec.epoch, rec.serial, rec.at = epoch, serial, rec.doubt and rec.at or ticks(now)
        rec.attempts = math.min(255, rec.attempts + 1)
        save(rec)
        redis.call('ZADD', run .. ':sending', string.format('%.0f', now + patience), rec.row)
        if rec.digest then
          hold_key(rec.digest, rec.row, now + patience)
        end
      end
      answers[#answers + 1] = (whole or rec.answer < 0) and rec.answer or -2
    end
  end
  count()
  return answers
end

-- progress, epoch, ms until its attempt is given up, row, serial, whether a request that writes goes now (1) or was
-- answered (0), and what is known of its steps. What was answered is noted of a row's latest claim also where the run is
-- another's by now, or is to end. → 1 noted, and it may go on; 2 noted, and it may not; 0 not noted
function ask.progress(epoch, patience, row, serial, open, known)
  local rec = load(tonumber(row))
  if rec.epoch ~= tonumber(epoch) or rec.serial ~= tonumber(serial) then
    return 0
  end
  local goes_on = tonumber(field('epoch')) == rec.epoch and field('cancel') == '' and rec.state == 'sending'
  local digest = redis.call('HGET', run .. ':held', rec.row)
  if digest and not may_hold(digest, rec.row) then
    goes_on = false
  end
  if open == '1' and not goes_on or rec.state ~= 'sending' and rec.state ~= 'unknown' then
    return 0
  end
  redis.call('HSET', run .. ':steps', rec.row, struct.pack(STEPS, rec.epoch, rec.serial, tonumber(open)) .. known)
  if rec.state == 'unknown' and move('answer', rec, 'waiting') then
    rec.doubt, rec.at = false, 0
    save(rec)
    count()
  elseif rec.state == 'sending' then
    redis.call('ZADD', run .. ':sending', string.format('%.0f', now + patience), rec.row)
    if digest and goes_on then
      hold_key(digest, rec.row, now + patience)
    end
  end
  return goes_on and 1 or 2
end

-- The next so many bytes of a text, a piece at a time: msgpack has no bytes in Lua.
local function cutter(text)
  local at = 1
  return function(size)
    at = at + size
    return string.sub(text, at - size, at - 1)
  end
end

-- resolve, epoch, then of each row in one msgpack list: row, epoch and serial of its latest claim as it was read, state
-- to move to, and how long its tail, its detail and what is known of its steps are, which follow in one text: what was
-- found out about rows that nobody has under way. → a row: 1 moved, 0 not
function ask.resolve(epoch, packed, texts)
  local answers, ended, cut = {}, {}, cutter(texts)
  if not has(epoch) then
    return answers
  end
  for _, item in ipairs(cmsgpack.unpack(packed)) do
    local rec = load(item[1])
    local from, to, taken, tail, detail, steps = rec.state, item[4], 0, cut(item[5]), cut(item[6]), cut(item[7])
    if rec.epoch == item[2] and rec.serial == item[3] and move('resolve', rec, to) then
      rec.doubt, rec.tail = false, tail
      if to == 'waiting' then
        rec.at = 0
        redis.call('SETBIT', run .. ':asked', rec.row - 1, 1)
      end
      if steps ~= '' then
        redis.call('HSET', run .. ':steps', rec.row, struct.pack(STEPS, rec.epoch, rec.serial, 0) .. steps)
      end
      save(rec)
      local block = run .. ':detail:' .. math.floor((rec.row - 1) / 100)
      if detail ~= '' then
        redis.call('HSET', block, rec.slot, detail)
      else
        redis.call('HDEL', block, rec.slot)
      end
      if from ~= to then
        ended[to] = (ended[to] or 0) + 1
      end
      taken = 1
    end
    answers[#answers + 1] = taken
  end
  for state, n in pairs(ended) do
    redis.call('HINCRBY', run .. ':seconds', math.floor(now / 1000) .. ':' .. state, n)
    total(state, n)
  end
  count()
  return answers
end

-- answer, ms of the caller's clock, then in one msgpack list ten values a row: row, epoch, serial, state, how long its
-- tail and detail are, which follow in one text, second by that clock in which it was sent (-1 = never; of a parcel its
-- first row has it), ms to wait, whether the attempt surely had no effect (1 or 0), and the rows of its parcel where a
-- server that has lost the claim may need them. The outcome of a row's latest claim is always taken, also from
-- an old epoch, and after a person has asked to send the row again. → a row: 1 taken, 2 taken as `unknown` because the
-- row is in doubt, 0 refused because a newer claim exists
function ask.answer(clock_now, packed, texts)
  local answers, sent, ended, cut = {}, {}, {}, cutter(texts)
  local second = math.floor(now / 1000)
  local ahead = math.floor((now - tonumber(clock_now)) / 1000 + 0.5) -- of this clock: the chart has one clock for all
  for _, values in ipairs(cmsgpack.unpack(packed)) do
    local rec = load(values[1])
    local epoch, serial, to, at = values[2], values[3], values[4], values[7]
    local tail, detail = cut(values[5]), cut(values[6])
    local wanted = to
    local newer = rec.epoch > epoch or rec.epoch == epoch and rec.serial > serial
    local same = rec.epoch == epoch and rec.serial == serial
    local taken = 0
    if rec.doubt and values[9] == 1 and not (to == 'waiting' and asked(rec.row)) then
      to = 'unknown'
    end
    if same and rec.state == to and to ~= 'unknown' or same and rec.state == 'waiting' and to == 'unknown' then
      taken = 1 -- said before, or no news to who asked to send the row again
    elseif not newer then
      -- A claim that the server lost with its last writes is made good by its outcome.
      local event = same and 'answer' or 'restore'
      local from = rec.state
      if move(event, rec, to) then
        rec.epoch, rec.serial, rec.tail = epoch, serial, tail
        if values[10] ~= '' then
          redis.call('HSETNX', run .. ':parcels', epoch .. ':' .. serial, values[10])
        end
        if not same and at >= 0 then
          rec.attempts = math.min(255, rec.attempts + 1)
        end
        local wait = values[8]
        if to == 'waiting' and not rec.doubt then
          rec.at = ticks(now + wait)
        elseif not same and not rec.doubt then
          rec.at = ticks(now)
        end
        save(rec)
        local block = run .. ':detail:' .. math.floor((rec.row - 1) / 100)
        if detail ~= '' then
          redis.call('HSET', block, rec.slot, detail)
        elseif rec.attempts > 1 then
          redis.call('HDEL', block, rec.slot)
        end
        if to == 'done' then
          redis.call('HDEL', run .. ':steps', rec.row)
        end
        if to ~= 'waiting' and (rec.request > 0 or asked(rec.row)) then
          redis.call('SETBIT', run .. ':asked', rec.row - 1, 0)
        end
        taken = to == wanted and 1 or 2
        if from == 'sending' or not same then
          if at >= 0 then
            sent[at] = (sent[at] or 0) + 1
          end
        end
        if from ~= to then
          ended[to] = (ended[to] or 0) + 1
        end
      end
    end
    answers[#answers + 1] = taken
  end
  for at, n in pairs(sent) do
    redis.call('HINCRBY', run .. ':seconds', string.format('%.0f:sent', at + ahead), n)
    total('sent', n)
  end
  for state, n in pairs(ended) do
    redis.call('HINCRBY', run .. ':seconds', second .. ':' .. state, n)
    total(state, n)
  end
  count()
  return answers
end

-- resend, epoch, number of the request, rows: failed or unknown rows wait again, each once a request. A failed row
-- gets a new idempotency key (an API that replays stored answers would repeat the failure), an unknown one keeps it.
-- → how many moved, or -1 if another epoch has the run
function ask.resend(epoch, request, ...)
  if tonumber(field('epoch')) ~= tonumber(epoch) then
    return -1
  end
  local n = 0
  request = tonumber(request)
  for _, row in ipairs({...}) do
    local rec = load(tonumber(row))
    local failed = rec.state == 'failed'
    if rec.request < request and move('resend', rec, 'waiting') then
      rec.request = request
      if failed then
        rec.generation, rec.at = rec.generation + 1, 0
      end
      redis.call('SETBIT', run .. ':asked', rec.row - 1, 1)
      save(rec)
      n = n + 1
    end
  end
  count()
  return n
end

local function judge(event, to, detail, ...)
  local n = 0
  for _, row in ipairs({...}) do
    local rec = load(tonumber(row))
    if move(event, rec, to) then
      redis.call('SETBIT', run .. ':asked', rec.row - 1, 0)
      save(rec)
      redis.call('HSET', run .. ':detail:' .. math.floor((rec.row - 1) / 100), rec.slot, detail)
      n = n + 1
    end
  end
  count()
  return n
end

-- mark, detail, rows: a person knows that the API did act. → how many moved
function ask.mark(detail, ...)
  return judge('mark', 'done', detail, ...)
end

-- restored, detail, rows: they wait in a ledger that is older than the truth. → how many moved
function ask.restored(detail, ...)
  return judge('restored', 'unknown', detail, ...)
end

-- request, id → the number of this resend request; the same id has the same number for ever
function ask.request(id)
  local known = redis.call('HGET', run .. ':requests', id)
  if known then
    return tonumber(known)
  end
  local number = redis.call('HINCRBY', run, 'requests', 1)
  redis.call('HSET', run .. ':requests', id, number)
  return number
end

return ask[ARGV[1]](unpack(ARGV, 2))
