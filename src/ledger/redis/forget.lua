-- KEYS: job. Forgets an end.
if type(record) ~= 'string' then return 0 end
local state = string.match(record, '^{"state":"(%a+)"')
if state ~= 'verdict' and state ~= 'failure' then return 0 end
return redis.call('DEL', KEYS[1])
