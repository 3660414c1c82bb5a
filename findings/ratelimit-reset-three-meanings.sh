#!/usr/bin/env bash
# What was seen: four rate limiters, the same window of 4 s, the same third request 1.4 s into it, refused with 429:
#   express-rate-limit 8.7.5   X-RateLimit-Reset: seconds since 1970    Retry-After: 3
#   @fastify/rate-limit 11.2.0 X-RateLimit-Reset: 3 (seconds to go)     Retry-After: 3
#   Flask-Limiter 4.1.1        X-RateLimit-Reset: seconds since 1970    Retry-After: 3
#   koa-ratelimit 6.0.0        X-RateLimit-Reset: 1795900838.297234     Retry-After: 2
# and the client that waits just what koa-ratelimit's Retry-After asks is refused again, now with `Retry-After: 0`.
#
# Expected: Retry-After is delay-seconds (RFC 9110 10.2.3), a whole number "how long to wait", so that a limiter rounds up,
#   as the other three do; that X-RateLimit-Reset is one of the two common kinds; and whole, as all clients parse it.
# Seen: koa-ratelimit rounds down. Who obeys is early by up to a second, gets a second 429 and Retry-After 0, which asks
#   for a hot loop. Its memory store gives the reset with a fraction, which int("...") in most clients does not read.
# Why it matters: a worker that honours a 429 to the letter spends an attempt for nothing; one that takes 0 at its word
#   hammers. antispoofd tells seconds to go from seconds since 1970 by their size, and reads fractions.
# Needs: node 18+, python3. About a minute.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
fail() { printf 'CHANGED: %s\n' "$*" >&2; exit 1; }
cd "$work"

timeout 240 npm install --silent --no-fund --no-audit \
  express@5.3.0 express-rate-limit@8.7.5 fastify@5.12.8 @fastify/rate-limit@11.2.0 koa@3.3.0 koa-ratelimit@6.0.0 >/dev/null
timeout 240 python3 -m venv venv
timeout 240 venv/bin/pip -q --disable-pip-version-check install flask-limiter==4.1.1 limits==5.8.0 flask==3.1.3

# Each window of 4 s starts with the first request; the third, 1.4 s later, is the first that is refused.
cat >limiters.mjs <<'JS'
import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import express from 'express'
import { rateLimit } from 'express-rate-limit'
import Fastify from 'fastify'
import fastifyLimit from '@fastify/rate-limit'
import Koa from 'koa'
import koaLimit from 'koa-ratelimit'

const limiters = {
  'express-rate-limit': () => {
    const app = express()
    app.use(rateLimit({ windowMs: 4000, limit: 2, legacyHeaders: true }))
    app.get('/', (_, answer) => answer.send('ok'))
    return new Promise((up) => { const server = app.listen(0, '127.0.0.1', () => up(server)) })
  },
  '@fastify/rate-limit': async () => {
    const app = Fastify()
    await app.register(fastifyLimit, { max: 2, timeWindow: 4000 })
    app.get('/', () => 'ok')
    await app.listen({ port: 0, host: '127.0.0.1' })
    return app.server
  },
  'koa-ratelimit': () => {
    const app = new Koa()
    app.use(koaLimit({ driver: 'memory', db: new Map(), duration: 4000, max: 2, id: () => 'one' }))
    app.use((context) => { context.body = 'ok' })
    return new Promise((up) => { const server = app.listen(0, '127.0.0.1', () => up(server)) })
  },
}
const kind = (reset) => reset.includes('.') ? 'epoch-fraction' : Number(reset) > 1e9 ? 'epoch' : 'seconds-to-go'
for (const [name, start] of Object.entries(limiters)) {
  const { port } = (await start()).address()
  const get = () => new Promise((done, failed) =>
    http.get({ host: '127.0.0.1', port, agent: false }, (answer) => { answer.resume(); done(answer) }).on('error', failed))
  await get(); await sleep(700); await get(); await sleep(700)
  const refused = await get()
  const wait = refused.headers['retry-after']
  await sleep(Number(wait) * 1000 + 5)
  const again = await get()
  console.log(name, refused.statusCode, kind(refused.headers['x-ratelimit-reset']), wait, again.statusCode, again.headers['retry-after'] ?? '-')
}
process.exit()
JS
cat >limiter.py <<'PY'
import http.client, logging, threading, time
from flask import Flask
from flask_limiter import Limiter
from werkzeug.serving import make_server
logging.getLogger("werkzeug").setLevel(logging.ERROR)
app = Flask("limited")
Limiter(lambda: "one", app=app, default_limits=["2 per 4 second"], headers_enabled=True, storage_uri="memory://")
app.get("/")(lambda: "ok")
server = make_server("127.0.0.1", 0, app)
threading.Thread(target=server.serve_forever, daemon=True).start()
def get():
    peer = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    peer.request("GET", "/")
    return peer.getresponse()
get(); time.sleep(0.7); get(); time.sleep(0.7)
refused = get()
wait, reset = refused.getheader("Retry-After"), refused.getheader("X-RateLimit-Reset")
time.sleep(int(wait) + 0.005)
again = get()
print("Flask-Limiter", refused.status, "epoch" if int(reset) > 1e9 else "seconds-to-go", wait, again.status, "-")
PY
echo 'limiter, refused with, X-RateLimit-Reset, Retry-After, after that wait, its Retry-After'
{
  timeout 60 node limiters.mjs
  timeout 60 venv/bin/python limiter.py 2>/dev/null
} | tee seen
line() { grep -Fqx "$1" seen || fail "expected: $1"; }
line 'express-rate-limit 429 epoch 3 200 -'
line '@fastify/rate-limit 429 seconds-to-go 3 200 -'
line 'Flask-Limiter 429 epoch 3 200 -'
line 'koa-ratelimit 429 epoch-fraction 2 429 0'
echo 'As stated: one header, three meanings, and one limiter that refuses whoever obeys it.'
