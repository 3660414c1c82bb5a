#!/usr/bin/env bash
# What was seen: versitygw 1.8.0, posix backend. An object is put by S3, then its file is written by a program on the file system,
# which is what a gateway to a shared file system is for. Written in place (cp over it, append, mmap, rsync --inplace), the
# object keeps the ETag and the checksum of its first content, with the new bytes, length and Last-Modified:
#   If-Match with the old ETag      200 and the new bytes
#   If-None-Match with the old ETag 304
#   GET with a checksum asked for   the old checksum beside the new bytes
# Replaced by a rename (mv, an editor), it has no ETag and no checksum, and If-Match with the old ETag is 412.
#
# Expected: an ETag that changes with the content, or none: a file server makes it of time and length, and the gateway sees both.
#   The attributes (user.etag, user.checksums) are on the inode, so that it depends on how the other program writes.
# Why it matters: a cache or a sync never sees the change (304), a reader that pins what it has seen by If-Match judges other
#   bytes, and boto3 with its defaults cannot read the object at all (FlexibleChecksumError), although the upload asked for no
#   checksum: boto3 sends one, and the gateway makes a CRC64NVME where the client sends none (which boto3 checks only with
#   awscrt installed, as here). antispoofd pins by ETag, too; the checksum is what tells it of the other bytes: such a job ends
#   as store_unavailable, without a paid call.
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
timeout 240 venv/bin/pip -q --disable-pip-version-check install 'boto3[crt]==1.44.8'

cat >ask.py <<'PY'
import os, shutil, sys, time
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError, FlexibleChecksumError

def client(validation):
    return boto3.client("s3", endpoint_url=f"http://127.0.0.1:{sys.argv[1]}", region_name="us-east-1", aws_access_key_id="finding-key",
                        aws_secret_access_key="finding-secret", config=Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"},
                        request_checksum_calculation=validation, response_checksum_validation=validation))
defaults, plain = client("when_supported"), client("when_required")
for _ in range(100):
    try:
        plain.create_bucket(Bucket="bucket")
        break
    except EndpointConnectionError:
        time.sleep(0.1)

def get(s3, **conditions):
    try:
        answer = s3.get_object(Bucket="bucket", Key="face", **conditions)
        return answer, f"200 {answer['Body'].read().decode()}"
    except FlexibleChecksumError:
        return None, "FlexibleChecksumError"
    except ClientError as error:
        return None, str(error.response["ResponseMetadata"]["HTTPStatusCode"])

def row(name, first):
    answer, body = get(plain)
    tag = "none" if "ETag" not in answer else "the first" if answer["ETag"] == first else "another"
    print(f"{name}: {body}, length {answer['ContentLength']}, ETag {tag}; If-Match {get(plain, IfMatch=first)[1]}; "
          f"If-None-Match {get(plain, IfNoneMatch=first)[1]}; boto3's defaults {get(defaults)[1]}")

path = os.path.join(sys.argv[2], "bucket", "face")
for sender, s3 in (("with a checksum", defaults), ("without", plain)):
    first = s3.put_object(Bucket="bucket", Key="face", Body=b"first")["ETag"]
    row(f"put {sender}", first)
    with open("other", "w") as other:
        other.write("other")
    shutil.copyfile("other", path)
    row("copied over", first)
    with open(path, "a") as file:
        file.write(" and more")
    row("appended to", first)
    os.replace("other", path)
    row("renamed over", first)
PY
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir store
ROOT_ACCESS_KEY=finding-key ROOT_SECRET_KEY=finding-secret "$gateway" --port "127.0.0.1:$port" posix "$work/store" >gateway.log 2>&1 &
pids+=("$!")
disown
timeout 60 venv/bin/python ask.py "$port" "$work/store" >seen || fail "the gateway cannot be asked"
cat seen

for sender in 'with a checksum' without; do
  cat <<TXT
put $sender: 200 first, length 5, ETag the first; If-Match 200 first; If-None-Match 304; boto3's defaults 200 first
copied over: 200 other, length 5, ETag the first; If-Match 200 other; If-None-Match 304; boto3's defaults FlexibleChecksumError
appended to: 200 other and more, length 14, ETag the first; If-Match 200 other and more; If-None-Match 304; boto3's defaults FlexibleChecksumError
renamed over: 200 other, length 5, ETag none; If-Match 412; If-None-Match 200 other; boto3's defaults 200 other
TXT
done >expected
diff expected seen >difference || fail "$(cat difference)"
echo 'As stated: a file that is written in place keeps ETag and checksum of what it was.'
