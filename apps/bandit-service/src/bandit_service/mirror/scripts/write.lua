-- Write values, unless what stands there is newer.
-- KEYS 1 a hash that says how new, 2... one key for each value; ARGV 1 the field of the hash, 2 token, 3 number, 4... values
-- Reply: 1 written, 0 not newer
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known then
    local token, number = string.match(known, '(%S+) (%S+)')
    local newer_token, newer_number = tonumber(ARGV[2]) - tonumber(token), tonumber(ARGV[3]) - tonumber(number)
    if newer_token < 0 or (newer_token == 0 and newer_number < 0) then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
for position = 2, #KEYS do redis.call('SET', KEYS[position], ARGV[position + 2]) end
return 1
