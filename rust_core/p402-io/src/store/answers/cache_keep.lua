-- Keeps one answer in its tenant's shard: entry, digests, place in the order, line in the log.
-- Does not judge it; bytes are bounded here, so that a cache never fills the server it lies on.
--
-- KEYS: entry · exact digest · canonical digest · order · log · bytes
-- ARGV: id · entry · log line · life ms · expiry ms · bytes of the shard · whether all are full
--       · how an entry's key begins · now ms
local VICTIMS = 16
local LINES = 10000

local function drop(member)
  local id, size = member:match('^(%x+):(%d+)$')
  if redis.call('ZREM', KEYS[4], member) == 1 then
    redis.call('DECRBY', KEYS[6], size)
    redis.call('DEL', ARGV[8] .. id)
  end
  return id
end

local before = tonumber(redis.call('GET', KEYS[6]) or '0')
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', ARGV[9], 'LIMIT', 0, VICTIMS)) do
  drop(member)
end

-- What had the same exact key makes place for it, or is this entry, with its vector now.
local old = redis.call('GET', KEYS[2])
if old then
  local size = redis.call('STRLEN', ARGV[8] .. old)
  drop(old .. ':' .. size)
  if old ~= ARGV[1] then
    redis.call('XADD', KEYS[5], 'MAXLEN', '~', LINES, '*', 'd', old)
  end
end

local size = #ARGV[2]
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[4])
redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[4])
redis.call('ZADD', KEYS[4], ARGV[5], ARGV[1] .. ':' .. size)
redis.call('XADD', KEYS[5], 'MAXLEN', '~', LINES, '*', 'a', ARGV[3])
local bytes = redis.call('INCRBY', KEYS[6], size)

local most = tonumber(ARGV[6])
if ARGV[7] == '1' and before < most then
  most = before
end
for _ = 1, VICTIMS do
  if bytes <= most then
    break
  end
  local first = redis.call('ZRANGE', KEYS[4], 0, 0)[1]
  if not first then
    break
  end
  local id = drop(first)
  redis.call('XADD', KEYS[5], 'MAXLEN', '~', LINES, '*', 'd', id)
  bytes = tonumber(redis.call('GET', KEYS[6]))
end
return bytes
