-- The start of every script: the record of the first key. Nothing (false), a text of ours, or the error WRONGTYPE of what somebody else put there.
-- Any other error is the server's, and the answer: swallowed, a right that is missing would look like a record that cannot be read.
local record = redis.pcall('GET', KEYS[1])
if type(record) == 'table' and not string.find(record.err, 'WRONGTYPE', 1, true) then return record end
