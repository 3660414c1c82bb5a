#!/usr/bin/env bash
# What was seen: versitygw 1.8.0, posix backend with --sidecar (the attributes of objects in files of their own, for file systems
# without user.* attributes). While one client overwrites an object again and again, GET gives the ETag of one version with the
# content of the one before it: 8 readers of 300 overwrites got some such, in each run. So a compare-and-set loop (GET, then PUT with
# If-Match and the ETag of that GET) loses updates, although of those who send the same ETag at the same time one gets 200 and the
# others 412: 16 clients that count to 160 together are all told 200 and leave a smaller number (79, 97, 87). Without --sidecar
# (attributes on the inode, which a rename replaces together with the content) a GET now and then has an older ETag than its content,
# which If-Match then refuses, never a newer one, and the number is 160.
#
# Expected: a version of an object is its content and its ETag; a GET gives one version. The gateway stores the ETag first and
#   renames the content into place then, under a lock that GET does not take; and GET reads the ETag by the path, before it opens the file.
# Why it matters: an ETag is what leases, state files (Terraform's S3 lock, Delta and Iceberg tables on conditional writes) and caches
#   rely on. A probe that only races writers finds nothing. antispoofd's ledger in a bucket reads an object while it changes before its first step, and
#   refuses this one by name.
# Needs: python3, a file system with user.* attributes under /tmp or TMPDIR, and go 1.24+ to build the gateway
#   (VERSITYGW_BIN=/path/to/versitygw saves that). 1 to 5 minutes.
set -euo pipefail

work=$(mktemp -d)
pids=()
finish() {
  local pid
  for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  sleep 0.3
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
fail() { printf 'CHANGED: %s\n' "$*" >&2; exit 1; }
cd "$work"

readonly MODULE=github.com/versity/versitygw@v1.8.0
gateway=${VERSITYGW_BIN:-}
if [[ -z $gateway ]]; then
  echo 'building versitygw (some minutes)'
  GOBIN="$work" GOFLAGS='' CGO_ENABLED=0 timeout 1200 go install -trimpath -ldflags '-s -w' "${MODULE%@*}/cmd/versitygw@${MODULE#*@}"
  gateway=$work/versitygw
fi
version=$(go version -m "$gateway" | awk '$1 == "mod" { print $3 }')
[[ $version == "${MODULE#*@}" ]] || fail "VERSITYGW_BIN is $version, not ${MODULE#*@}"
echo "versitygw $version, boto3 1.44.8"
timeout 240 python3 -m venv venv
timeout 240 venv/bin/pip -q --disable-pip-version-check install 'boto3==1.44.8'

cat >ask.py <<'PY'
import sys, threading, time
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError

CHANGES, READERS, CLIENTS, EACH = 300, 8, 16, 10
s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{sys.argv[1]}", region_name="us-east-1", aws_access_key_id="finding-key",
                  aws_secret_access_key="finding-secret",
                  config=Config(retries={"max_attempts": 0}, max_pool_connections=32, s3={"addressing_style": "path"},
                                request_checksum_calculation="when_required", response_checksum_validation="when_required"))
for _ in range(100):
    try:
        s3.create_bucket(Bucket="bucket")
        break
    except EndpointConnectionError:
        time.sleep(0.1)

def get(key):
    answer = s3.get_object(Bucket="bucket", Key=key)
    return answer["ETag"], answer["Body"].read().decode()

def put(key, body, **condition):
    return s3.put_object(Bucket="bucket", Key=key, Body=body.encode(), **condition)["ETag"]

def together(count, work):
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

written = {"0": put("read", "0")}
seen, writing = [], [True]
def read():
    while writing[0]:
        seen.append(get("read"))
def write():
    for number in range(1, CHANGES + 1):
        written[str(number)] = put("read", str(number), IfMatch=written[str(number - 1)])
    writing[0] = False
writer = threading.Thread(target=write)
writer.start()
together(READERS, read)
writer.join()
number = {etag: int(body) for body, etag in written.items()}
newer = sum(number[etag] > int(body) for etag, body in seen)
older = sum(number[etag] < int(body) for etag, body in seen)

put("count", "0")
def count():
    for _ in range(EACH):
        while True:
            etag, body = get("count")
            try:
                put("count", str(int(body) + 1), IfMatch=etag)
                break
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] != 412:
                    raise
together(CLIENTS, count)
reached = int(get("count")[1])
print(f"of {len(seen)} reads {newer} with a newer ETag, {older} with an older one; {CLIENTS * EACH} increments, {reached} counted", file=sys.stderr)
print("newer" if newer else "never newer", "fewer" if reached < CLIENTS * EACH else "all")
PY

run() { # NAME [ARGUMENT...]
  local name=$1 port
  shift
  port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
  mkdir -p "$name" attributes
  ROOT_ACCESS_KEY=finding-key ROOT_SECRET_KEY=finding-secret "$gateway" --port "127.0.0.1:$port" posix "$@" "$work/$name" >"$name.log" 2>&1 &
  pids+=("$!")
  disown
  echo "$name:"
  timeout 120 venv/bin/python ask.py "$port" >"$name.seen" || fail "the gateway cannot be asked: $(tail -3 "$name.log")"
}

run inode
run sidecar --sidecar "$work/attributes"
[[ $(<inode.seen) == 'never newer all' ]] || fail "with attributes on the inode: $(<inode.seen)"
[[ $(<sidecar.seen) == 'newer fewer' ]] || fail "with --sidecar: $(<sidecar.seen)"
echo 'As stated: with --sidecar a GET beside a PUT mixes two versions, and compare-and-set loses updates.'
