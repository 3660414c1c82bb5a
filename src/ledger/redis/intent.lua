-- KEYS: job, the count of calls. ARGV: token of the claim, its life in ms, life of the record in ms, how many calls a day may have (0: not counted).
-- Answers {1, day, counted}; {0} when the job is another worker's or has ended, or cannot be read any more; {2, day, counted, ms until the next day}
-- when the day has had its calls, and then nothing is written.
local prior = 0
if record then
  if type(record) ~= 'string' then return {0} end
  local read, known = pcall(cjson.decode, record)
  if not read or type(known) ~= 'table' or known.by ~= ARGV[1] then return {0} end
  prior = known.prior or 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local limit = tonumber(ARGV[4])
local day, counted = 0, 0
if limit > 0 then
  day, counted = calls_of_today(redis.call('GET', KEYS[2]), now)
  local left = 86400000 - now % 86400000
  if counted >= limit then return {2, day, counted, left} end
  counted = counted + 1
  -- A day longer than it counts for, so that it can be looked at.
  redis.call('SET', KEYS[2], string.format('%d %d', day, counted), 'PX', string.format('%.0f', left + 86400000))
end
redis.call('SET', KEYS[1], string.format('{"state":"intent","calls":%d,"prior":%d,"by":"%s","until":%.0f}',
  prior + 1, prior, ARGV[1], now + ARGV[2]), 'PX', ARGV[3])
return {1, day, counted}
