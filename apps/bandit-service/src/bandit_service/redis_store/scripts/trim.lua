-- Note what Postgres has committed and forget those events.
-- KEYS 1 state, 2 events; ARGV 1 epoch, 2 committed seq. Reply: 1 noted, 0 not of this stream or known already.
local state = redis.call('HMGET', KEYS[1], 'epoch', 'committed', 'seq')
local committed = tonumber(ARGV[2])
if state[1] ~= ARGV[1] or tonumber(state[2] or '0') >= committed or tonumber(state[3] or '0') < committed then return 0 end
-- Trimming first: it is allowed when the memory is full, and what a script writes after its first write is allowed too.
redis.call('XTRIM', KEYS[2], 'MINID', ARGV[1] .. '-' .. string.format('%d', committed + 1))
redis.call('HSET', KEYS[1], 'committed', ARGV[2])
return 1
