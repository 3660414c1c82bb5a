-- KEYS: job, and for a verdict maybe the object. ARGV: record, its life in ms, 1 when it is a failure that gives way to a verdict.
local record = redis.call('GET', KEYS[1])
if not record or ARGV[3] == '0' or not string.find(record, '^{"state":"verdict"') then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
if KEYS[2] then
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
end
return 1
