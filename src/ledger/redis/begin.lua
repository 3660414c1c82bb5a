-- KEYS: job. ARGV: token of the claim, its life in ms.
-- Answers "fresh", "busy", or the record: an intent has been claimed, an end has not.
local record = redis.call('GET', KEYS[1])
if record then
  local state = string.match(record, '^{"state":"(%a+)"')
  if state == 'claimed' then
    -- Our own: the answer to a first try was lost. A claim that has run out is gone.
    if cjson.decode(record).by ~= ARGV[1] then return 'busy' end
  elseif state == 'intent' then
    local known = cjson.decode(record)
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    if known.by and known.by ~= ARGV[1] and known['until'] > now then return 'busy' end
    redis.call('SET', KEYS[1], string.format('{"state":"intent","calls":%d,"prior":%d,"by":"%s","until":%.0f}',
      known.calls, known.calls, ARGV[1], now + ARGV[2]), 'KEEPTTL')
    return record
  else
    return record
  end
end
redis.call('SET', KEYS[1], '{"state":"claimed","by":"' .. ARGV[1] .. '"}', 'PX', ARGV[2])
return 'fresh'
