-- End a refill: the experiment is ready under its new epoch. KEYS 1 state; ARGV 1 epoch, then fields and values. Reply: 1 ready, 0 fenced off.
if redis.call('HGET', KEYS[1], 'filling') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], unpack(ARGV, 2))
redis.call('HDEL', KEYS[1], 'filling')
return 1
