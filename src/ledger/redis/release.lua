-- KEYS: job. ARGV: token of the claim, 1 when its call may have been paid for, life of a record in ms.
-- What was known before the claim is known again.
if type(record) ~= 'string' then return '' end
local state = string.match(record, '^{"state":"(%a+)"')
if state ~= 'claimed' and state ~= 'intent' then return '' end
local read, known = pcall(cjson.decode, record)
if not read or known.by ~= ARGV[1] then return '' end
local calls = 0
if state == 'intent' then
  if ARGV[2] == '1' then calls = known.calls else calls = known.prior end
end
if calls == 0 then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], string.format('{"state":"intent","calls":%d}', calls), 'PX', ARGV[3])
end
return ''
