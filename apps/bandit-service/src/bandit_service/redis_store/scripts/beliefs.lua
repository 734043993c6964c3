-- Read one consistent picture. KEYS 1 state, 2 segments, then alpha and beta of every arm.
-- Reply: state as a flat list, segments likewise, then the values.
local values = {}
for position = 3, #KEYS do values[position - 2] = redis.call('GET', KEYS[position]) or '' end
return {redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', KEYS[2]), values}
