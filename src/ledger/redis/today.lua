-- KEYS: the count of calls. Answers {day, counted}.
local time = redis.call('TIME')
local day, counted = calls_of_today(redis.call('GET', KEYS[1]), time[1] * 1000)
return {day, counted}
