-- KEYS: job. ARGV: 1 to keep the end on record, 0 to forget it.
if type(record) ~= 'string' then return 0 end
local state, published, rest = string.match(record, '^{"state":"(%a+)","announced":(%a+)(.*)$')
if state ~= 'verdict' and state ~= 'failure' then return 0 end
if ARGV[1] == '0' then
  redis.call('DEL', KEYS[1])
elseif published == 'false' then
  redis.call('SET', KEYS[1], '{"state":"' .. state .. '","announced":true' .. rest, 'KEEPTTL')
end
return 1
