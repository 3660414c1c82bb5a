-- KEYS: the count of calls. ARGV: the day on which the call was counted that was not sent.
local day, counted = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (%d+)$')
if day == ARGV[1] and tonumber(counted) > 0 then
  redis.call('SET', KEYS[1], string.format('%s %d', day, counted - 1), 'KEEPTTL')
end
return 1
