-- Publish an allocation, if the caller still holds the lease and nobody published since it read.
-- KEYS 1 state, 2 lease, 3 allocation, 4 explanation, 5 linear models
-- ARGV 1 lease token, 2 epoch, 3 weights version the caller read, 4 the new one, 5 record, 6 explanation, 7 models ('' none)
-- Reply: 1 published, 0 refused
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
local state = redis.call('HMGET', KEYS[1], 'epoch', 'weights_version')
if state[1] ~= ARGV[2] or (state[2] or '0') ~= ARGV[3] then return 0 end
redis.call('SET', KEYS[3], ARGV[5])
redis.call('SET', KEYS[4], ARGV[6])
if ARGV[7] ~= '' then redis.call('SET', KEYS[5], ARGV[7]) end
redis.call('HSET', KEYS[1], 'weights_version', ARGV[4])
return 1
