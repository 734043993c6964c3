-- Read one consistent picture. KEYS 1 state, then alpha and beta of every arm. Reply: state as a flat list, then the values.
local values = {}
if #KEYS > 1 then
  for position = 2, #KEYS do values[position - 1] = redis.call('GET', KEYS[position]) or '' end
end
return {redis.call('HGETALL', KEYS[1]), values}
