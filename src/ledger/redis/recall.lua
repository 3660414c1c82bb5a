-- KEYS: object. Answers the record, or nothing where there is none, or something that is none.
if type(record) ~= 'string' then return false end
return record
