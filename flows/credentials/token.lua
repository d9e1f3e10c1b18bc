-- One token of one account. KEYS: its hash, its lock. Every moment is of the clock of this server.
-- ARGV[1] says what is wished:
--   look                                             what is stored
--   take  owner milliseconds                         the same, and 1 if the lock is ours now
--   intend owner generation milliseconds             note that the refresh token of this generation is being used up
--   hold  owner milliseconds                         keep the lock for so long, if it is ours
--   put   owner generation sealed seconds why first name pipeline scope   what came in the place of that generation
--   fail  owner generation why                       note why there is none
--   free  owner                                      let go of the lock
local hash, lock = KEYS[1], KEYS[2]
local wish, owner = ARGV[1], ARGV[2]
local t = redis.call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1e6

local function free()
  if redis.call('GET', lock) == owner then redis.call('DEL', lock) end
end

local function generation()
  return tonumber(redis.call('HGET', hash, 'generation') or '0')
end

if wish == 'look' then
  return {0, tostring(now), redis.call('HGETALL', hash)}
end
if wish == 'take' then
  local got = redis.call('SET', lock, owner, 'NX', 'PX', ARGV[3]) and 1 or 0
  return {got, tostring(now), redis.call('HGETALL', hash)}
end
if wish == 'intend' then
  local holder = redis.call('GET', lock)
  if (holder and holder ~= owner) or generation() ~= tonumber(ARGV[3]) then return 0 end
  redis.call('SET', lock, owner, 'PX', ARGV[4])
  redis.call('HSET', hash, 'intent', string.format('%.3f', now))
  return 1
end
if wish == 'hold' then
  if redis.call('GET', lock) ~= owner then return 0 end
  return redis.call('PEXPIRE', lock, ARGV[3])
end
if wish == 'put' then
  -- Whatever became of the lock: what replaces this generation is all that is left of it.
  if generation() ~= tonumber(ARGV[3]) then free() return 0 end
  -- It rises even where all was forgotten meanwhile: processes remember which generation would not do.
  local next = math.max(generation() + 1, math.floor(now))
  redis.call('HSET', hash, 'generation', string.format('%d', next), 'sealed', ARGV[4], 'obtained', string.format('%.3f', now),
    'expires', ARGV[5] == '' and '' or string.format('%.3f', now + tonumber(ARGV[5])), 'why', ARGV[6], 'first', ARGV[7],
    'name', ARGV[8], 'pipeline', ARGV[9], 'scope', ARGV[10])
  redis.call('HDEL', hash, 'intent', 'trouble', 'trouble_at')
  free()
  return 1
end
if wish == 'fail' then
  if generation() == tonumber(ARGV[3]) then
    redis.call('HSET', hash, 'trouble', ARGV[4])
  end
  free()
  return 1
end
free()
return 1
