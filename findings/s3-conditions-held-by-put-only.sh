#!/usr/bin/env bash
# What was seen: MinIO 2025-09-07 and moto 5.2.5 hold If-Match and If-None-Match for PutObject (412), and let other writes
# pass that carry the same conditions, with a success:
#   DeleteObject,  If-Match with a wrong tag     MinIO 204, the object is gone   moto 412
#   DeleteObjects, an <ETag> that is wrong       MinIO "deleted", it is gone     moto "deleted", it is gone
#   CopyObject,    If-None-Match: * on a key     MinIO 200, it is overwritten    moto 200, it is overwritten
#   CompleteMultipartUpload, a wrong If-Match    MinIO 412                       moto 200, it is overwritten
#
# Expected: the S3 API documents the condition for each of the four; botocore 1.44 has the parameters. A store that does
#   not know one answers 501 NotImplemented (as MinIO does elsewhere), so the guess was: 412 or 501, never a success.
# Seen: the header is read past. The answer is the one of a write whose condition held.
# Why it matters: compare-and-delete is how a lease or a ledger in S3 gives up what it owns. On MinIO it deletes what
#   another worker has taken over meanwhile; a test against moto does not show the cases it lets pass. Only a
#   guarded PUT (If-None-Match, If-Match) can carry such a lease on both; give it up by overwriting it.
# Needs: python3, and go: MinIO is built from its module, 5 to 10 minutes on two cores. With MINIO_BIN=/path/to/minio, built
#   of that module, some 40 seconds.
set -euo pipefail

work=$(mktemp -d)
pids=()
finish() {
  local pid
  for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
fail() { printf 'CHANGED: %s\n' "$*" >&2; exit 1; }
cd "$work"

readonly MODULE=github.com/minio/minio@v0.0.0-20250907161309-07c3a429bfed
minio=${MINIO_BIN:-}
if [[ -z $minio ]]; then
  echo 'building MinIO (some minutes)'
  GOBIN="$work" GOFLAGS='' CGO_ENABLED=0 timeout 1800 go install -trimpath -ldflags '-s -w' "$MODULE"
  minio=$work/minio
fi
timeout 240 python3 -m venv venv
timeout 300 venv/bin/pip -q --disable-pip-version-check install 'moto[s3,server]==5.2.5' boto3==1.44.8

free_port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
minio_port=$(free_port) moto_port=$(free_port)
MINIO_ROOT_USER=finding MINIO_ROOT_PASSWORD=finding-secret MINIO_BROWSER=off MINIO_UPDATE=off \
  "$minio" server --address "127.0.0.1:$minio_port" "$work/data" >minio.log 2>&1 &
pids+=("$!")
disown
venv/bin/moto_server -H 127.0.0.1 -p "$moto_port" >moto.log 2>&1 &
pids+=("$!")
disown

cat >ask.py <<'PY'
import sys, time
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError
name, port = sys.argv[1:]
s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1", aws_access_key_id="finding",
                  aws_secret_access_key="finding-secret", config=Config(retries={"max_attempts": 0}))
for attempt in range(100):
    try:
        s3.create_bucket(Bucket="bucket")
        break
    except (EndpointConnectionError, ClientError):
        time.sleep(0.2)
wrong = '"00000000000000000000000000000000"'
target = {"Bucket": "bucket", "Key": "key"}
def body():
    try:
        return s3.get_object(**target)["Body"].read()
    except ClientError:
        return b"gone"
def part_upload(**condition):
    upload = s3.create_multipart_upload(**target)["UploadId"]
    tag = s3.upload_part(**target, UploadId=upload, PartNumber=1, Body=b"new")["ETag"]
    return s3.complete_multipart_upload(**target, UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": tag}]}, **condition)
s3.put_object(Bucket="bucket", Key="source", Body=b"new")
for what, write in {
    "PutObject If-Match": lambda: s3.put_object(**target, Body=b"new", IfMatch=wrong),
    "PutObject If-None-Match:*": lambda: s3.put_object(**target, Body=b"new", IfNoneMatch="*"),
    "DeleteObject If-Match": lambda: s3.delete_object(**target, IfMatch=wrong),
    "DeleteObjects ETag": lambda: s3.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "key", "ETag": wrong}]}),
    "CopyObject If-None-Match:*": lambda: s3.copy_object(**target, CopySource="bucket/source", IfNoneMatch="*"),
    "CompleteMultipartUpload If-Match": lambda: part_upload(IfMatch=wrong),
}.items():
    s3.put_object(**target, Body=b"old")
    try:
        status = write()["ResponseMetadata"]["HTTPStatusCode"]
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    print(f"{name}: {what}: {status}, then the object is {body().decode()}")
PY
version=$(go version -m "$minio" | awk '$1 == "mod" { print $3 }')
echo "MinIO $version, moto 5.2.5, boto3 1.44.8"
[[ $version == "${MODULE#*@}" ]] || fail "MINIO_BIN is $version, not ${MODULE#*@}"
{
  timeout 100 venv/bin/python ask.py minio "$minio_port" 2>/dev/null
  timeout 100 venv/bin/python ask.py moto "$moto_port" 2>/dev/null
} | tee seen

cat >expected <<'TXT'
minio: PutObject If-Match: 412, then the object is old
minio: PutObject If-None-Match:*: 412, then the object is old
minio: DeleteObject If-Match: 204, then the object is gone
minio: DeleteObjects ETag: 200, then the object is gone
minio: CopyObject If-None-Match:*: 200, then the object is new
minio: CompleteMultipartUpload If-Match: 412, then the object is old
moto: PutObject If-Match: 412, then the object is old
moto: PutObject If-None-Match:*: 412, then the object is old
moto: DeleteObject If-Match: 412, then the object is old
moto: DeleteObjects ETag: 200, then the object is gone
moto: CopyObject If-None-Match:*: 200, then the object is new
moto: CompleteMultipartUpload If-Match: 200, then the object is new
TXT
diff expected seen >difference || fail "$(cat difference)"
echo 'As stated: only PutObject is guarded by its condition on both stores.'
