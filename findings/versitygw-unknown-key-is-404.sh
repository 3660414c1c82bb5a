#!/usr/bin/env bash
# What was seen: versitygw 1.8.0 (posix backend, an object that exists), requests of boto3 1.44.8 whose access key or secret is
# wrong; the gateway with its root account alone (as its quick start runs it), and with an account folder (--iam-dir).
#                            wrong secret                    unknown access key
#   root account alone       403 SignatureDoesNotMatch       404 XAdminUserNotFound;    HEAD: 404, no code
#   --iam-dir                403 SignatureDoesNotMatch       403 InvalidAccessKeyId;    HEAD: 403, no code
# An object or a bucket that does not exist, asked for with the right key: 404 NoSuchKey, NoSuchBucket; HEAD: 404.
#
# Expected: 403 InvalidAccessKeyId, as S3 documents it, and as this gateway's own tracker says that it should be (#524, 2024);
#   and the same answer however the gateway keeps its accounts.
# Seen: with the root account alone, the code of the admin interface, as a 404, for GET, HEAD, PUT and LIST, of object and bucket.
# Why it matters: after a key was rotated, HEAD answers for each object what it answers for a missing one:
#   "exists?" is answered no, a sync uploads or deletes, and a worker that parks jobs at 404 parks them all as missing. A 404 is
#   not retried, and no alarm of 403s sounds. antispoofd never asks by HEAD; it takes this code for unknown credentials and waits.
# Needs: python3, and go 1.24+ to build the gateway (VERSITYGW_BIN=/path/to/versitygw saves that). 1 to 5 minutes.
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
timeout 240 python3 -m venv venv
timeout 240 venv/bin/pip -q --disable-pip-version-check install boto3==1.44.8

cat >ask.py <<'PY'
import sys, time
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError
def client(key, secret):
    return boto3.client("s3", endpoint_url=f"http://127.0.0.1:{sys.argv[1]}", region_name="us-east-1", aws_access_key_id=key,
                        aws_secret_access_key=secret, config=Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"}))
right = client("finding-key", "finding-secret")
for _ in range(100):
    try:
        right.create_bucket(Bucket="bucket")
        break
    except EndpointConnectionError:
        time.sleep(0.1)
right.put_object(Bucket="bucket", Key="face.jpg", Body=b"face")
def ask(call, **what):
    try:
        return call(**what)["ResponseMetadata"]["HTTPStatusCode"]
    except ClientError as error:
        status, code = error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
        return status if code == str(status) else f"{status} {code}"
def row(name, s3, bucket, key):
    print(f"{name}: GET {ask(s3.get_object, Bucket=bucket, Key=key)}, HEAD {ask(s3.head_object, Bucket=bucket, Key=key)}, "
          f"PUT {ask(s3.put_object, Bucket=bucket, Key='other', Body=b'x')}, LIST {ask(s3.list_objects_v2, Bucket=bucket)}, "
          f"HEAD bucket {ask(s3.head_bucket, Bucket=bucket)}")
row("right key", right, "bucket", "face.jpg")
row("absent object", right, "bucket", "absent.jpg")
row("absent bucket", right, "absent", "face.jpg")
row("wrong secret", client("finding-key", "other-secret"), "bucket", "face.jpg")
row("unknown key", client("other-key", "finding-secret"), "bucket", "face.jpg")
PY
survey() { # NAME OPTIONS...
  local name=$1 port
  shift
  port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
  mkdir "$name.store"
  ROOT_ACCESS_KEY=finding-key ROOT_SECRET_KEY=finding-secret "$gateway" --port "127.0.0.1:$port" "$@" posix "$work/$name.store" >"$name.log" 2>&1 &
  pids+=("$!")
  disown
  timeout 60 venv/bin/python ask.py "$port" >"$name.seen" || fail "$name: the gateway cannot be asked"
  sed "s/^/$name: /" "$name.seen"
}
survey alone
mkdir accounts
survey accounts --iam-dir "$work/accounts"

cat >alone.expected <<'TXT'
right key: GET 200, HEAD 200, PUT 200, LIST 200, HEAD bucket 200
absent object: GET 404 NoSuchKey, HEAD 404, PUT 200, LIST 200, HEAD bucket 200
absent bucket: GET 404 NoSuchBucket, HEAD 404, PUT 404 NoSuchBucket, LIST 404 NoSuchBucket, HEAD bucket 404
wrong secret: GET 403 SignatureDoesNotMatch, HEAD 403, PUT 403 SignatureDoesNotMatch, LIST 403 SignatureDoesNotMatch, HEAD bucket 403
unknown key: GET 404 XAdminUserNotFound, HEAD 404, PUT 404 XAdminUserNotFound, LIST 404 XAdminUserNotFound, HEAD bucket 404
TXT
sed '/^unknown key/s/404 XAdminUserNotFound/403 InvalidAccessKeyId/g; /^unknown key/s/HEAD \(bucket \)\?404/HEAD \1403/g' alone.expected >accounts.expected
for name in alone accounts; do diff "$name.expected" "$name.seen" >difference || fail "$name: $(cat difference)"; done
echo 'As stated: without an account service versitygw says of an unknown key 404, and by HEAD what it says of a missing object.'
