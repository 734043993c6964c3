-- One piece of a refill. KEYS 1 state, 2 pending, 3 units, 4 segments, then a key for every S operation
-- ARGV 1 epoch, then: S value life_ms ('' for ever) | Z score member | U unit | H field value. Reply: 1 written, 0 fenced off.
if redis.call('HGET', KEYS[1], 'filling') ~= ARGV[1] then return 0 end
local at, key = 2, 4
while at <= #ARGV do
  local operation = ARGV[at]
  if operation == 'S' then
    key = key + 1
    if ARGV[at + 2] == '' then
      redis.call('SET', KEYS[key], ARGV[at + 1])
    else
      redis.call('SET', KEYS[key], ARGV[at + 1], 'PX', ARGV[at + 2])
    end
    at = at + 3
  elseif operation == 'Z' then
    redis.call('ZADD', KEYS[2], ARGV[at + 1], ARGV[at + 2])
    at = at + 3
  elseif operation == 'H' then
    redis.call('HSET', KEYS[4], ARGV[at + 1], ARGV[at + 2])
    at = at + 3
  else
    redis.call('SADD', KEYS[3], ARGV[at + 1])
    at = at + 2
  end
end
return 1
