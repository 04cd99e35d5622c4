"""What changes sessions in Redis, each in one step.

A session is a hash under `users:session:<id>`; the ids of a person's sessions are a sorted set
under `users:sessions:<user id>`, scored by when they end. A key that another one's content names
is made in the script: users has one Redis, not a cluster.
"""

# Begin a session. Past the most that one person may have, the longest unused ones end.
OPEN = """
local now, ttl = tonumber(ARGV[4]), tonumber(ARGV[5])
redis.call('HSET', KEYS[1], 'user_id', ARGV[1], 'refresh', ARGV[2], 'epoch', ARGV[3],
    'created_at', ARGV[4], 'used_at', ARGV[4], 'address', ARGV[6], 'user_agent', ARGV[7])
redis.call('EXPIRE', KEYS[1], ttl)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('ZADD', KEYS[2], now + ttl, ARGV[8])
redis.call('EXPIRE', KEYS[2], ttl)
local excess = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[9])
if excess > 0 then
    for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, excess - 1)) do
        redis.call('DEL', 'users:session:' .. id)
    end
    redis.call('ZREMRANGEBYRANK', KEYS[2], 0, excess - 1)
end
"""

# Exchange a refresh token for its successor. One whose successor is the session's token already was
# exchanged just now, and its answer got lost, unless that is longer ago than the grace; any other
# was copied, which ends the session.
ROTATE = """
local now, ttl, grace = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[6])
local session = redis.call('HMGET', KEYS[1], 'user_id', 'refresh', 'used_at')
if not session[1] then return 0 end
if session[2] == ARGV[2] and now - tonumber(session[3]) <= grace then return 1 end
local index = 'users:sessions:' .. session[1]
if session[2] ~= ARGV[1] then
    redis.call('DEL', KEYS[1])
    redis.call('ZREM', index, ARGV[5])
    return 0
end
redis.call('HSET', KEYS[1], 'refresh', ARGV[2], 'used_at', ARGV[3])
redis.call('EXPIRE', KEYS[1], ttl)
redis.call('ZADD', index, now + ttl, ARGV[5])
redis.call('EXPIRE', index, ttl)
return 1
"""

# End one session if it is this person's; 0 when there is none.
CLOSE = """
if redis.call('HGET', KEYS[1], 'user_id') ~= ARGV[1] then return 0 end
redis.call('ZREM', KEYS[2], ARGV[2])
return redis.call('DEL', KEYS[1])
"""

# End all of a person's sessions; the one to be kept passes into the new epoch.
CLOSE_ALL = """
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    if id ~= ARGV[1] then
        redis.call('DEL', 'users:session:' .. id)
        redis.call('ZREM', KEYS[1], id)
    end
end
local kept = 'users:session:' .. ARGV[1]
if redis.call('EXISTS', kept) == 1 then redis.call('HSET', kept, 'epoch', ARGV[2]) end
"""

# Count an attempt by account and by address, unless either has had too many: then the seconds
# until it may try again. Counting comes before checking, so that attempts at once count too.
ATTEMPT = """
for i, key in ipairs(KEYS) do
    if tonumber(redis.call('GET', key) or '0') >= tonumber(ARGV[i]) then
        return math.max(1, redis.call('TTL', key))
    end
end
for _, key in ipairs(KEYS) do
    if redis.call('INCR', key) == 1 then redis.call('EXPIRE', key, ARGV[3]) end
end
return 0
"""

# Forget an account's attempts; its address gets back this one alone, for it may try many accounts.
SUCCEEDED = """
redis.call('DEL', KEYS[1])
if tonumber(redis.call('GET', KEYS[2]) or '0') > 0 then redis.call('DECR', KEYS[2]) end
"""
