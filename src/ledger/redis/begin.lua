-- KEYS: job. ARGV: token of the claim, its life in ms, life of an intent in ms, 1 to claim whatever is there.
-- Answers "fresh", "busy", "unreadable", or the record: an intent has been claimed, an end has not. What cannot be read has been claimed as one
-- call in doubt: somebody else wrote there, and what it was is gone.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function intend(calls, ...)
  redis.call('SET', KEYS[1], string.format('{"state":"intent","calls":%d,"prior":%d,"by":"%s","until":%.0f}',
    calls, calls, ARGV[1], now + ARGV[2]), ...)
end

if not record then
  redis.call('SET', KEYS[1], '{"state":"claimed","by":"' .. ARGV[1] .. '"}', 'PX', ARGV[2])
  return 'fresh'
end
if type(record) == 'string' and ARGV[4] ~= '1' then
  local state = string.match(record, '^{"state":"(%a+)"')
  if state == 'verdict' or state == 'failure' then return record end
  local read, known = pcall(cjson.decode, record)
  if read and state == 'claimed' and redis.call('PTTL', KEYS[1]) >= 0 then
    -- Our own: the answer to a first try was lost. A claim that has run out is gone.
    if known.by == ARGV[1] then return 'fresh' end
    return 'busy'
  end
  if read and state == 'intent' and type(known.calls) == 'number' then
    if known.by and known.by ~= ARGV[1] and (tonumber(known['until']) or 0) > now then return 'busy' end
    intend(known.calls, 'KEEPTTL')
    return record
  end
end
intend(1, 'PX', ARGV[3])
return 'unreadable'
