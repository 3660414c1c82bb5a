-- KEYS: job. ARGV: token of the claim, its life in ms, life of the record in ms.
-- Answers 1, or 0 when the job is somebody else's or has ended, or cannot be read any more.
local prior = 0
if record then
  if type(record) ~= 'string' then return 0 end
  local read, known = pcall(cjson.decode, record)
  if not read or type(known) ~= 'table' or known.by ~= ARGV[1] then return 0 end
  prior = known.prior or 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', KEYS[1], string.format('{"state":"intent","calls":%d,"prior":%d,"by":"%s","until":%.0f}',
  prior + 1, prior, ARGV[1], now + ARGV[2]), 'PX', ARGV[3])
return 1
