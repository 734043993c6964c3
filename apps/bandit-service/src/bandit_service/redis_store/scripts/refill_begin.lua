-- Begin a refill: from here until its end every commit is answered "not ready".
-- The epoch, raised in Postgres by each refiller, is the fence: a slower, earlier refiller can no longer write.
-- KEYS 1 state, 2 events, 3 pending, 4 units, 5 producers, 6 segments; ARGV 1 epoch. Reply: 1 begun, 0 a later refill is under way or done.
local state = redis.call('HMGET', KEYS[1], 'epoch', 'filling', 'revision', 'weights_version')
local wanted = tonumber(ARGV[1])
if tonumber(state[1] or '0') >= wanted or tonumber(state[2] or '0') >= wanted then return 0 end
redis.call('DEL', unpack(KEYS))
redis.call('HSET', KEYS[1], 'filling', ARGV[1], 'revision', state[3] or '-1', 'weights_version', state[4] or '0')
return 1
