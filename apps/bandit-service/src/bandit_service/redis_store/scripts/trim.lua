-- Note what Postgres has committed and forget those events. KEYS 1 state, 2 events; ARGV 1 epoch, 2 committed seq. Reply: events forgotten.
local state = redis.call('HMGET', KEYS[1], 'epoch', 'committed')
if state[1] ~= ARGV[1] or tonumber(state[2] or '0') >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], 'committed', ARGV[2])
return redis.call('XTRIM', KEYS[2], 'MINID', ARGV[1] .. '-' .. string.format('%d', ARGV[2] + 1))
