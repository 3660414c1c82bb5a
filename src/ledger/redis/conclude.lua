-- KEYS: job, and for a verdict maybe the object. ARGV: record, its life in ms, token of the claim, the end that this one replaces (from its
-- `,"end":` on; empty where there is none), 0 to look for calls of others, 1 not to, 2 to write in any case.
-- Answers nothing when it is written, or the record that stands in the way: an end that stands, or an intent with the calls of others.
if type(record) == 'string' and ARGV[5] ~= '2' then
  local ended = '^{"state":"%a+","announced":%a+(,"end":.*)$'
  local rest = string.match(record, ended)
  if rest then
    if rest ~= ARGV[4] and rest ~= string.match(ARGV[1], ended) then return record end
  elseif ARGV[5] == '0' then
    local read, known = pcall(cjson.decode, record)
    if read and type(known) == 'table' and known.state == 'intent' and known.by ~= ARGV[3] then return record end
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if KEYS[2] then
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
end
return ''
