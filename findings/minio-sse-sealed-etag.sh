#!/usr/bin/env bash
# What was seen: MinIO 2025-09-07, a bucket with default encryption SSE-S3, bucket notifications to a webhook. The eTag of
# the event is the object's for Put, Copy and CompleteMultipartUpload. It is another text, 96 hex digits, for
#   ObjectCreated:Post        (a browser's form upload), and
#   ObjectCreated:PutTagging  (tags set on an object whose own Put event had told the right one).
# GET with If-Match of those 96 digits answers 412, though nothing has changed. A form upload that asks for a 201
# document gets both: the right tag in the ETag header, the 96 digits in the document's <ETag>.
#
# Expected: "eTag" in the event is the object's ETag, as the S3 event structure says; what one answer calls ETag in its
#   header and in its body is the same. MinIO strips its internal form everywhere else, so the guess was 32 digits in all.
# Seen: 20000f00 and 88 more digits: the tag as it lies sealed on the disk. Without encryption all of them are 32 digits.
# Why it matters: a worker that pins the version it was told of (If-Match) finds every form upload "changed", and every
#   tagged object. antispoofd ended such jobs as object_changed; a tag of that length is no pin.
# Needs: python3, and go: MinIO is built from its module, 5 to 10 minutes on two cores. With MINIO_BIN=/path/to/minio, built
#   of that module, some 30 seconds.
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
version=$(go version -m "$minio" | awk '$1 == "mod" { print $3 }')
echo "MinIO $version, boto3 1.44.8"
[[ $version == "${MODULE#*@}" ]] || fail "MINIO_BIN is $version, not ${MODULE#*@}"
timeout 240 python3 -m venv venv
timeout 240 venv/bin/pip -q --disable-pip-version-check install boto3==1.44.8 requests==2.34.2

free_port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
store_port=$(free_port) hook_port=$(free_port)

cat >ask.py <<'PY'
import http.server, json, re, sys, threading, time
import boto3, requests
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError

events = {}
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        for record in json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}").get("Records", []):
            events[record["s3"]["object"]["key"], record["eventName"].split(":")[2]] = record["s3"]["object"]["eTag"]
        self.do_HEAD()
    def do_HEAD(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
hook = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Hook)
threading.Thread(target=hook.serve_forever, daemon=True).start()

s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{sys.argv[1]}", region_name="us-east-1", aws_access_key_id="finding",
                  aws_secret_access_key="finding-secret", config=Config(retries={"max_attempts": 0}))
for _ in range(150):
    try:
        s3.create_bucket(Bucket="plain")
        break
    except (EndpointConnectionError, ClientError):
        time.sleep(0.2)
s3.create_bucket(Bucket="sealed")
s3.put_bucket_encryption(Bucket="sealed", ServerSideEncryptionConfiguration={
    "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]})

def kind(tag):
    return f"{len(tag)} digits" if re.fullmatch("[0-9a-f]+", tag) else "multipart"
for bucket in ("plain", "sealed"):
    for _ in range(50):
        try:
            s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [
                {"QueueArn": "arn:minio:sqs:us-east-1:hook:webhook", "Events": ["s3:ObjectCreated:*"]}]})
            break
        except ClientError:  # the target is offered once MinIO has reached it
            time.sleep(0.2)
    events.clear()
    s3.put_object(Bucket=bucket, Key="put", Body=b"image")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/put")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"image")["ETag"]
    s3.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]})
    form = s3.generate_presigned_post(bucket, "form", Fields={"success_action_status": "201"}, Conditions=[{"success_action_status": "201"}])
    answer = requests.post(form["url"], data=form["fields"], files={"file": ("image", b"image")}, timeout=20)
    s3.put_object_tagging(Bucket=bucket, Key="put", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    wanted = [("put", "Put"), ("copy", "Copy"), ("parts", "CompleteMultipartUpload"), ("form", "Post"), ("put", "PutTagging")]
    for _ in range(100):
        if all(event in events for event in wanted):
            break
        time.sleep(0.1)
    for key, name in wanted:
        told = events[key, name]
        try:
            held = s3.get_object(Bucket=bucket, Key=key, IfMatch=f'"{told}"')["ResponseMetadata"]["HTTPStatusCode"]
        except ClientError as error:
            held = error.response["ResponseMetadata"]["HTTPStatusCode"]
        print(f"{bucket} {name}: event's eTag {kind(told)}, GET If-Match {held}")
    document = re.search("<ETag>(?:&#34;|&quot;)?([^<&]*)", answer.text)[1]
    print(f"{bucket} form's answer: header {kind(answer.headers['ETag'].strip(chr(34)))}, document {kind(document)}")
PY
key=$(head -c 32 /dev/zero | base64)
MINIO_ROOT_USER=finding MINIO_ROOT_PASSWORD=finding-secret MINIO_BROWSER=off MINIO_UPDATE=off MINIO_KMS_SECRET_KEY="test:$key" \
  MINIO_NOTIFY_WEBHOOK_ENABLE_hook=on MINIO_NOTIFY_WEBHOOK_ENDPOINT_hook="http://127.0.0.1:$hook_port/" \
  "$minio" server --address "127.0.0.1:$store_port" "$work/data" >minio.log 2>&1 &
pids+=("$!")
disown
timeout 120 venv/bin/python ask.py "$store_port" "$hook_port" | tee seen

cat >expected <<'TXT'
plain Put: event's eTag 32 digits, GET If-Match 200
plain Copy: event's eTag 32 digits, GET If-Match 200
plain CompleteMultipartUpload: event's eTag multipart, GET If-Match 200
plain Post: event's eTag 32 digits, GET If-Match 200
plain PutTagging: event's eTag 32 digits, GET If-Match 200
plain form's answer: header 32 digits, document 32 digits
sealed Put: event's eTag 32 digits, GET If-Match 200
sealed Copy: event's eTag 32 digits, GET If-Match 200
sealed CompleteMultipartUpload: event's eTag multipart, GET If-Match 200
sealed Post: event's eTag 96 digits, GET If-Match 412
sealed PutTagging: event's eTag 96 digits, GET If-Match 412
sealed form's answer: header 32 digits, document 96 digits
TXT
diff expected seen >difference || fail "$(cat difference)"
echo 'As stated: with SSE-S3, form uploads and tagging announce the sealed tag.'
