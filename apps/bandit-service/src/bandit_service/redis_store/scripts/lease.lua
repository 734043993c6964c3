-- Take or renew a lease. KEYS 1 lease; ARGV 1 token, 2 life (ms). Reply: 1 held by the caller, 0 held by another.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
-- DEL is allowed when the memory is full, and so is what a script writes after it: the events that fill the memory are
-- written to Postgres by the holder of the lease.
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
