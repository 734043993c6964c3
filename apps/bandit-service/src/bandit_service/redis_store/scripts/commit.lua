-- Append a batch of operations of one experiment: counts, beliefs, markers and the event stream move together or not at all.
--
-- KEYS  1 state, 2 events, 3 pending, 4 units, 5 producers, 6 segments, then the keys the operations name by their position
-- ARGV  1 epoch the caller believes in, 2 producer, 3 the producer's batch number, 4 life of markers (ms), then the operations:
--   D arm counts close_ms unit member rewarded own_key own_record context kept payload  a decision
--   A arm counts close_ms member rewarded deadline_ms marker context payload  an activation of a deferred decision
--   R arm mode micro deadline_ms marker activation alpha beta member tentative context square segment payload  a reward
--   C arm member marker alpha beta context segment payload                    the closing of a decision's reward window
-- `counts` is the counter a decision raises, less its arm: d: for the bandit, hd: for the holdout.
-- `member` names the decision among those whose window is open, `rewarded` and `marker` of R and C the key of its reward.
-- An empty string means "none"; a key position of 0 means "no key". With an own_key but no own_record it is only asked
-- whether the caller's own decision is known. A tentative reward is taken only if its marker says what became of it.
-- `context` is the key of the context a decision was made in, `kept` its value: a reward brings it into the stream, so
-- that the stream alone says what a linear model learns. `square`: what a gaussian reward adds to the second sum;
-- without one that is what is missing to 1. `segment`: the number of the one whose counts a reward enters.
--
-- Reply: status, epoch, committed, weights version, revision, now (ms), results joined by commas
--   status   0 done, 1 not ready (no epoch here: refill first), 2 another epoch, 3 overtaken by a later batch
--   results  > 0 the sequence number of the event; 0 done before; < 0 refused (see below)
local LATE, NOT_ACTIVATED, UNKNOWN, NO_CONTEXT = -1, -2, -3, -4
local ONE = 1000000

local state = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'committed', 'weights_version', 'revision')
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local epoch = state[1]
local function reply(status, results)
  return {status, epoch or '', state[3] or '0', state[4] or '0', state[5] or '0', now, results}
end
if not epoch then return reply(1, '') end
if epoch ~= ARGV[1] then return reply(2, '') end

-- A batch sent again because its answer was lost is answered from memory. One that comes after a later batch was sent
-- twice and delayed on its way the first time: nobody waits for it, and applied now it would count twice.
local last = redis.call('HGET', KEYS[5], ARGV[2])
if last then
  local number, results = string.match(last, '^(%d+) %d+ (.*)$')
  if number == ARGV[3] then return reply(0, results) end
  if tonumber(number) > tonumber(ARGV[3]) then return reply(3, '') end
end

-- A marker of an earlier epoch was not part of the refill: what it stood for is not in the beliefs, so it does not count.
local stamp = epoch .. '|'
local function marked(position)
  local value = redis.call('GET', KEYS[position])
  return value and string.sub(value, 1, #stamp) == stamp and string.sub(value, #stamp + 1)
end
local function mark(position, value)
  redis.call('SET', KEYS[position], stamp .. value, 'PX', ARGV[4])
end

local seq = tonumber(state[2] or '0')
local function append(kind, payload, believed, ...)
  seq = seq + 1
  redis.call('XADD', KEYS[2], epoch .. '-' .. string.format('%d', seq), 'k', kind, 'b', believed, 'p', payload, ...)
  return seq
end

local fields, sums, segments = {}, {}, {}
local function count(field, amount) fields[field] = (fields[field] or 0) + amount end
local function believe(arm, micro, alpha, beta, square, segment)
  sums[alpha] = (sums[alpha] or 0) + micro
  sums[beta] = (sums[beta] or 0) + (square == '' and ONE - micro or tonumber(square))
  count('n:' .. arm, 1)
  if segment ~= '' then
    local place = segment .. ':' .. arm
    segments['n:' .. place] = (segments['n:' .. place] or 0) + 1
    segments['r:' .. place] = (segments['r:' .. place] or 0) + micro
  end
end

-- While its window is open a decision's reward and context are kept without a time limit: closing may be late, but
-- must find them.
local function await_close(close_ms, member, rewarded, context)
  if close_ms == '' then return end
  redis.call('ZADD', KEYS[3], close_ms, member)
  rewarded = tonumber(rewarded)
  if marked(rewarded) then redis.call('PERSIST', KEYS[rewarded]) end
  if context > 0 then redis.call('PERSIST', KEYS[context]) end
end

local function decide(arm, counts, close_ms, unit, member, rewarded, own_key, own_record, context, kept, payload)
  own_key, context = tonumber(own_key), tonumber(context)
  if own_key > 0 then
    if marked(own_key) then return 0 end
    if own_record == '' then return UNKNOWN end
    mark(own_key, own_record)
  end
  if context > 0 then mark(context, kept) end
  local number
  if unit ~= '' then
    number = append('decision', payload, '0', 'f', redis.call('SADD', KEYS[4], unit))
  else
    number = append('decision', payload, '0')
  end
  if counts ~= '' then count(counts .. arm, 1) end
  await_close(close_ms, member, rewarded, context)
  return number
end

local function activate(arm, counts, close_ms, member, rewarded, deadline_ms, marker, context, payload)
  marker = tonumber(marker)
  if marked(marker) then return 0 end
  if deadline_ms ~= '' and now > tonumber(deadline_ms) then return LATE end
  mark(marker, '1')
  if counts ~= '' then count(counts .. arm, 1) end
  await_close(close_ms, member, rewarded, tonumber(context))
  return append('activation', payload, '0')
end

local function refuse_late(marker, payload)
  mark(marker, 'late')
  append('late', payload, '0')
  return LATE
end

-- mode: b enters the beliefs now, z when the window closes, h counts for the holdout, n is only kept
local function reward(arm, mode, micro, deadline_ms, marker, activation, alpha, beta, member, tentative, context, square,
                      segment, payload)
  marker, activation, context = tonumber(marker), tonumber(activation), tonumber(context)
  local seen = marker > 0 and marked(marker)
  if seen then return seen == 'late' and LATE or 0 end
  if marker > 0 and tentative == '1' then return UNKNOWN end
  if activation > 0 and not marked(activation) then return NOT_ACTIVATED end
  if marker > 0 and deadline_ms ~= '' and now > tonumber(deadline_ms) then return refuse_late(marker, payload) end
  local made_in = context > 0 and marked(context)
  if context > 0 and not made_in then return NO_CONTEXT end
  if marker > 0 then
    mark(marker, micro)
    if member ~= '' and redis.call('ZSCORE', KEYS[3], member) then redis.call('PERSIST', KEYS[marker]) end
  end
  local enters = mode == 'b' and micro ~= ''
  if enters then believe(arm, tonumber(micro), tonumber(alpha), tonumber(beta), square, segment) end
  if mode == 'h' and micro ~= '' then
    count('holdout_rewards', 1)
    count('holdout_reward_micro', tonumber(micro))
  end
  if made_in then return append('reward', payload, enters and '1' or '0', 'x', made_in) end
  return append('reward', payload, enters and '1' or '0')
end

local function close(arm, member, marker, alpha, beta, context, segment, payload)
  local closes_ms = redis.call('ZSCORE', KEYS[3], member)
  if not closes_ms or tonumber(closes_ms) >= now then return 0 end
  marker, context = tonumber(marker), tonumber(context)
  local micro = marked(marker) or '0'
  if micro == 'late' then micro = '0' end
  local number = append('close', payload, micro == '' and '0' or '1', 'r', micro, 'x', context > 0 and marked(context) or '')
  redis.call('ZREM', KEYS[3], member)
  redis.call('PEXPIRE', KEYS[marker], ARGV[4])
  if context > 0 then redis.call('PEXPIRE', KEYS[context], ARGV[4]) end
  if micro ~= '' then believe(arm, tonumber(micro), tonumber(alpha), tonumber(beta), '', segment) end
  return number
end

local operations = {D = {decide, 11}, A = {activate, 9}, R = {reward, 14}, C = {close, 8}}
local results, at = {}, 5
while at <= #ARGV do
  local operation, arity = unpack(operations[ARGV[at]])
  results[#results + 1] = operation(unpack(ARGV, at + 1, at + arity))
  at = at + 1 + arity
end

for field, amount in pairs(fields) do redis.call('HINCRBY', KEYS[1], field, string.format('%d', amount)) end
for field, amount in pairs(segments) do redis.call('HINCRBY', KEYS[6], field, string.format('%d', amount)) end
for position, amount in pairs(sums) do redis.call('INCRBY', KEYS[position], string.format('%d', amount)) end
if next(sums) then redis.call('HINCRBY', KEYS[1], 'version', 1) end
redis.call('HSET', KEYS[1], 'seq', string.format('%d', seq))
local answer = table.concat(results, ',')
redis.call('HSET', KEYS[5], ARGV[2], ARGV[3] .. ' ' .. string.format('%d', now) .. ' ' .. answer)
return reply(0, answer)
