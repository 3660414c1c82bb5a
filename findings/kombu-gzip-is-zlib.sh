#!/usr/bin/env bash
# What was seen: kombu 5.7.0 (Celery's messaging library) with compression='gzip' sends the header
# `compression: application/x-gzip`, property content_encoding `utf-8`, and a body that is no gzip but a bare zlib stream
# (first bytes 78 9c, never 1f 8b). Node's gunzip, Python's gzip and gzip(1) refuse it; inflate reads it.
#
# Expected: application/x-gzip is the old name of RFC 1952's format (RFC 6713 registers gzip and zlib as two types), and
#   kombu's two siblings of that option keep their word: x-bz2 bodies begin with "BZh", x-lzma bodies with fd 37 7a 58 5a.
#   A compressed AMQP body is also expected to say so in content_encoding; the guess was "gzip".
# Seen: as above. The property says utf-8, so a consumer that follows the property reads 78 9c as text, and one that
#   follows the header picks the wrong decoder. Nothing but kombu's own reader gets it right by the names.
# Why it matters: a worker that takes jobs from a Celery shop sees "not JSON" or "not gzip". antispoofd
#   called all of them "not JSON" when this was seen; who decodes must look at the first bytes, not at the name.
# Needs: python3, node, gzip. Some 15 seconds.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
fail() { printf 'CHANGED: %s\n' "$*" >&2; exit 1; }
cd "$work"

timeout 240 python3 -m venv venv
timeout 240 venv/bin/pip -q --disable-pip-version-check install kombu==5.7.0

cat >publish.py <<'PY'
import base64, json, sys
from kombu import Connection
# kombu's own in-process transport: what the producer hands to a broker, without a broker.
with Connection("memory://") as connection:
    channel = connection.channel()
    channel.queue_declare(queue="jobs")
    for name in ("gzip", "bzip2", "lzma"):
        connection.Producer(channel).publish({"job": name}, routing_key="jobs", serializer="json", compression=name)
        sent = channel.basic_get("jobs", no_ack=True)
        body = base64.b64decode(sent._raw["body"])
        open(f"{name}.body", "wb").write(body)
        properties = sent._raw
        print(name, properties["headers"]["compression"], properties["content-encoding"], body[:2].hex())
PY
timeout 60 venv/bin/python publish.py | tee sent
cat >read.mjs <<'JS'
import fs from 'node:fs'
import zlib from 'node:zlib'
const body = fs.readFileSync('gzip.body')
for (const name of ['gunzipSync', 'inflateSync']) {
  let seen
  try { seen = zlib[name](body).toString() } catch (error) { seen = error.code }
  console.log(`node ${name}: ${seen}`)
}
JS
{
  timeout 60 node read.mjs
  gzip -dc <gzip.body >/dev/null 2>&1 && echo 'gzip(1): read' || echo 'gzip(1): refused'
  python3 -c 'import gzip; gzip.decompress(open("gzip.body", "rb").read())' 2>/dev/null &&
    echo 'python gzip: read' || echo 'python gzip: refused'
} | tee readers

printf '%s\n' 'gzip application/x-gzip utf-8 789c' 'bzip2 application/x-bz2 utf-8 425a' 'lzma application/x-lzma utf-8 fd37' |
  cmp -s - sent || fail "kombu's names or first bytes differ"
printf '%s\n' 'node gunzipSync: Z_DATA_ERROR' 'node inflateSync: {"job": "gzip"}' 'gzip(1): refused' 'python gzip: refused' |
  cmp -s - readers || fail 'a reader answers otherwise'
echo 'As stated: what kombu calls application/x-gzip is zlib, under content_encoding utf-8.'
