-- Takes one answer out of its shard, and tells every node. Its digests die with their time: an
-- entry that is not there is a miss.
--
-- KEYS: entry · order · log · bytes
-- ARGV: id
local size = redis.call('STRLEN', KEYS[1])
if size == 0 then
  return 0
end
redis.call('DEL', KEYS[1])
if redis.call('ZREM', KEYS[2], ARGV[1] .. ':' .. size) == 1 then
  redis.call('DECRBY', KEYS[4], size)
end
redis.call('XADD', KEYS[3], 'MAXLEN', '~', 10000, '*', 'd', ARGV[1])
return 1
