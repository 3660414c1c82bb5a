#!/usr/bin/env bash
# What was seen: the two stores that S3 code is tested against, Adobe S3Mock 5.2.0 and moto 5.2.5. Fifty PutObject with
# `If-None-Match: *` for one absent key at once, twenty rounds. S3Mock: two to twelve of them got 200 in 7 to 11 of the rounds.
# moto: two winners in 2 rounds of 20 in one run, none in others. MinIO 2025-09-07 under the same load: one winner each time.
#
# Expected: `If-None-Match: *` is S3's "create only if absent": one 200, the others 412 (or 409), which is what locks,
#   leases and ledgers in a bucket are built on. Both doubles know the header and answer 412 when asked in turn; moto
#   runs in one Python process, so that the guess was two winners on S3Mock at most.
# Seen: both look and then write, with nothing between the two. Asked one after the other they are right every time.
# Why it matters: the store that is used to test "never pay twice" is the one where two workers own the same job. A test
#   that fails once in a while against it blames the worker; a test that never races proves nothing.
# Needs: java 17+, mvn, python3. 1 to 3 minutes. With MINIO_BIN=/path/to/minio MinIO runs beside them, for comparison.
set -euo pipefail

work=$(mktemp -d)
pids=()
finish() {
  local pid
  for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  sleep 0.5
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
fail() { printf 'CHANGED: %s\n' "$*" >&2; exit 1; }
cd "$work"

# A local repository of its own, so that the jar lies in the folder that is removed.
timeout 400 mvn -q -B -Dmaven.repo.local="$work/maven" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:get \
  -Dtransitive=false -Dartifact=com.adobe.testing:s3mock:5.2.0:jar:exec >maven.log 2>&1 || fail "$(tail -n 3 maven.log)"
jar=$work/maven/com/adobe/testing/s3mock/5.2.0/s3mock-5.2.0-exec.jar
timeout 240 python3 -m venv venv
timeout 300 venv/bin/pip -q --disable-pip-version-check install 'moto[s3,server]==5.2.5' boto3==1.44.8

free_port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
mock_port=$(free_port) tls_port=$(free_port) moto_port=$(free_port)
mkdir temporary
COM_ADOBE_TESTING_S3MOCK_STORE_ROOT=$work/store java -Xmx512m -Djava.io.tmpdir="$work/temporary" -jar "$jar" --server.address=127.0.0.1 \
  --server.port="$tls_port" --com.adobe.testing.s3mock.httpPort="$mock_port" --http.port="$mock_port" >s3mock.log 2>&1 &
pids+=("$!")
disown
venv/bin/moto_server -H 127.0.0.1 -p "$moto_port" >moto.log 2>&1 &
pids+=("$!")
disown

cat >race.py <<'PY'
import collections, sys, threading, time
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError
name, port = sys.argv[1:]
s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1", aws_access_key_id="finding",
                  aws_secret_access_key="finding-secret", config=Config(retries={"max_attempts": 0}, max_pool_connections=60))
for _ in range(200):
    try:
        s3.create_bucket(Bucket="bucket")
        break
    except (EndpointConnectionError, ClientError):
        time.sleep(0.3)
def put(key, body):
    try:
        return s3.put_object(Bucket="bucket", Key=key, Body=body, IfNoneMatch="*")["ResponseMetadata"]["HTTPStatusCode"]
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"]
print(name, "in turn:", put("turn", b"1"), put("turn", b"2"))
winners = []
for turn in range(20):
    seen, gate = [], threading.Barrier(50)
    def contend(mark):
        gate.wait(timeout=30)
        seen.append(put(f"race-{turn}", mark))
    threads = [threading.Thread(target=contend, args=(b"%d" % i,)) for i in range(50)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    winners.append(seen.count(200))
    assert set(seen) <= {200, 409, 412}, seen
print(name, "winners of 50, twenty rounds:", *winners)
PY
timeout 150 venv/bin/python race.py s3mock "$mock_port" | tee mock
timeout 150 venv/bin/python race.py moto "$moto_port" | tee moto
grep -q 's3mock in turn: 200 412' mock || fail 'S3Mock no longer knows If-None-Match'
grep -q 'moto in turn: 200 412' moto || fail 'moto no longer knows If-None-Match'
grep -Eq 'rounds:.* ([2-9]|[1-4][0-9])( |$)' mock || fail 'S3Mock has one winner in each round now'
if [[ -n ${MINIO_BIN:-} ]]; then
  minio_port=$(free_port)
  MINIO_ROOT_USER=finding MINIO_ROOT_PASSWORD=finding-secret MINIO_BROWSER=off MINIO_UPDATE=off \
    "$MINIO_BIN" server --address "127.0.0.1:$minio_port" "$work/data" >minio.log 2>&1 &
  pids+=("$!")
  disown
  timeout 150 venv/bin/python race.py minio "$minio_port" | tee minio
  grep -Eq 'rounds:( 1){20}$' minio || fail 'MinIO has several winners'
fi
echo 'As stated: S3Mock lets several creators of one key win (moto now and then).'
