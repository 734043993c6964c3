-- Mirror a definition, unless a newer one is here, and give arms that are new their prior.
-- KEYS 1 state, 2 definition, then alpha and beta of every arm; ARGV 1 revision, 2 definition, then those values.
-- Reply: 1 taken, 0 not newer.
for position = 3, #KEYS do redis.call('SETNX', KEYS[position], ARGV[position]) end
local known = tonumber(redis.call('HGET', KEYS[1], 'revision') or '-1')
if known >= tonumber(ARGV[1]) and redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('HSET', KEYS[1], 'revision', ARGV[1])
return 1
