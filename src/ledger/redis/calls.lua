-- The count of calls: a day (since 1970) and how many of its calls are counted, as in "20786 153". The count of another day is over. The server's clock
-- says which day it is, so that one worker with a wrong clock does not begin a day of its own.
local function calls_of_today(written, now)
  local today = math.floor(now / 86400000)
  local day, counted = string.match(written or '', '^(%d+) (%d+)$')
  if tonumber(day) == today then return today, tonumber(counted) end
  return today, 0
end
