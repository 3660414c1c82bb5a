"""Jobs with known ids and images, the events that come of them, and what the vendor would bill: all compared when the jobs have ended."""

import base64
import hashlib
import hmac
import http.client
import json
import os
import queue
import threading
import time
import urllib.request

import node
import pika

BROKER, STORE, VENDOR = "10.96.0.20", "10.96.0.21", "10.96.0.22"
BUCKET = "kyc-uploads"
PREFIX = "antispoof"
# The stand-ins' own, for the length of a run.
STORE_KEY, STORE_SECRET = "antispoof", "antispoof-secret"


class Wrong(node.Failed):
    """The oracle found something that must not be."""


def segment(marker, body):
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def image(mark, size=30_000):
    """A grey JPEG of 8 × 8, whole by its structure, like no other by its comment, and as long as wanted by what follows its one block in the scan."""
    table = bytes([1] + [0] * 15 + [0])
    head = segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0") + segment(0xFE, mark.encode())
    head += segment(0xDB, b"\0" + b"\1" * 64) + segment(0xC0, bytes([8, 0, 8, 0, 8, 1, 1, 0x11, 0]))
    head += segment(0xC4, b"\0" + table) + segment(0xC4, b"\x10" + table) + segment(0xDA, bytes([1, 1, 0, 0, 63, 0])) + b"\x3f"
    # Digits: no byte of a marker among them.
    filler = os.urandom(max(0, size - len(head) - 4) // 2).hex().encode()
    return b"\xff\xd8" + head + filler + b"\xff\xd9"


def signed(method, path, body=b""):
    """Headers by Signature Version 4, for the one store of this run."""
    now = time.gmtime()
    stamp, day = time.strftime("%Y%m%dT%H%M%SZ", now), time.strftime("%Y%m%d", now)
    digest = hashlib.sha256(body).hexdigest()
    headers = {"host": f"{STORE}:9000", "x-amz-content-sha256": digest, "x-amz-date": stamp}
    names = ";".join(sorted(headers))
    request = "\n".join([method, path, "", *(f"{name}:{headers[name]}" for name in sorted(headers)), "", names, digest])
    scope = f"{day}/us-east-1/s3/aws4_request"
    key = f"AWS4{STORE_SECRET}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={STORE_KEY}/{scope}, SignedHeaders={names}, Signature={signature}"
    return headers


class Store:
    """MinIO, over one connection."""

    def __init__(self):
        self.link = http.client.HTTPConnection(STORE, 9000, timeout=30)

    def put(self, path, body=b""):
        self.link.request("PUT", path, body, signed("PUT", path, body))
        answer = self.link.getresponse()
        answer.read()
        if answer.status not in (200, 409):
            raise node.Failed(f"the store answers {answer.status} to PUT {path}")
        return (answer.getheader("etag") or "").strip('"')


def broker():
    return pika.BlockingConnection(pika.ConnectionParameters(BROKER, credentials=pika.PlainCredentials("guest", "guest"), heartbeat=0))


def ask(url, body=None, method=None, user=None):
    request = urllib.request.Request(url, body and json.dumps(body).encode(), {"content-type": "application/json"}, method=method)
    if user:
        request.add_header("authorization", "Basic " + base64.b64encode(user.encode()).decode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def management(path, body=None, method=None):
    return ask(f"http://{BROKER}:15672/api{path}", body, method, "guest:guest")


def depths():
    """Messages of each queue of the worker's, those in hand included; None while the broker does not know."""
    return {entry["name"]: entry.get("messages") for entry in management("/queues/%2f") if entry["name"].startswith(PREFIX + ".")}


def vendor(path="stats", body=None):
    return ask(f"http://{VENDOR}:9470/_sim/{path}", body, body and "PUT")


class Witness(threading.Thread):
    """Takes every event, from before the first job to the end of the run."""

    def __init__(self):
        super().__init__(daemon=True)
        self.events = {}
        self.lock = threading.Lock()

    def run(self):
        link = broker()
        channel = link.channel()
        channel.exchange_declare(f"{PREFIX}.results", "topic", durable=True)
        channel.queue_declare("witness", durable=True, arguments={"x-queue-type": "quorum"})
        channel.queue_bind("witness", f"{PREFIX}.results", "#")
        channel.basic_qos(prefetch_count=200)
        for method, _, body in channel.consume("witness"):
            event = json.loads(body)
            with self.lock:
                self.events.setdefault(event["subject"], []).append((event, time.monotonic()))
            channel.basic_ack(method.delivery_tag)

    def of(self, ids):
        with self.lock:
            return {name: list(self.events.get(name, ())) for name in ids}


class Load:
    """Jobs of a scene: published at a pace until told to stop, or as many as asked for."""

    def __init__(self, witness, name, per_second=15, jobs=None, size=30_000):
        self.witness, self.name, self.pace, self.most, self.size = witness, name, per_second, jobs, size
        self.jobs, self.sent, self.stopped, self.problem = {}, {}, threading.Event(), queue.Queue()
        self.thread = threading.Thread(target=self.publish, daemon=True)

    def __enter__(self):
        self.started = time.monotonic()
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        if kind or self.most is None:
            self.stopped.set()
        self.thread.join()
        if not kind and not self.problem.empty():
            raise self.problem.get()

    def publish(self):
        try:
            store, link = Store(), broker()
            channel = link.channel()
            channel.confirm_delivery()
            number = 0
            while not self.stopped.is_set() and (self.most is None or number < self.most):
                self.one(store, channel, number)
                number += 1
                ahead = self.started + number / self.pace - time.monotonic() if self.pace else 0
                self.stopped.wait(max(0, ahead))
            link.close()
        except Exception as error:  # noqa: BLE001  told by the scene's thread
            self.problem.put(error)

    def one(self, store, channel, number):
        name = f"{self.name}-{number}"
        content = image(name + os.urandom(8).hex(), self.size)
        etag = store.put(f"/{BUCKET}/{name}.jpg", content)
        self.jobs[name] = hashlib.sha256(content).hexdigest()
        job = {"id": name, "bucket": BUCKET, "key": f"{name}.jpg", "etag": etag}
        channel.basic_publish(f"{PREFIX}.jobs", f"{PREFIX}.jobs", json.dumps(job).encode(),
                              pika.BasicProperties(content_type="application/json", delivery_mode=2, message_id=name), mandatory=True)
        self.sent[name] = time.monotonic()

    def ended(self):
        return sum(1 for seen in self.witness.of(list(self.jobs)).values() if seen)

    def settle(self, limit=180):
        """Waits until each job has its event and no queue has a message."""
        node.until(f"{self.name}: an event for each of {len(self.jobs)} jobs", lambda: self.ended() >= len(self.jobs), limit)
        node.until(f"{self.name}: empty queues", lambda: all(count == 0 for count in depths().values()), 60)

    def judge(self, explained=0):
        """Events, verdicts and calls against the jobs; so many calls beyond one for each job are explained by the scene's fault, if their events own up to them."""
        events, calls = self.witness.of(list(self.jobs)), vendor()["images"]
        repeated = extra = 0
        waits = []
        for job, digest in self.jobs.items():
            seen = [event for event, _ in events[job]]
            if not seen:
                raise Wrong(f"{job} has no event")
            repeated += len(seen) - 1
            if len({event["id"] for event in seen}) != 1:
                raise Wrong(f"{job} has events of several ids")
            ends = {(event["type"], event["data"].get("outcome"), event["data"].get("accuracy")) for event in seen}
            if len(ends) != 1:
                raise Wrong(f"{job} has contradicting events: {ends}")
            right = "spoof" if int(digest[:8], 16) % 5 == 0 else "live"
            if seen[0]["data"].get("outcome") != right:
                raise Wrong(f"{job} ended as {seen[0]['data']}, and its image is {right}")
            billed = calls.get(digest, {}).get("billed", 0)
            doubt = max(event["data"]["check"].get("in_doubt", 0) for event in seen)
            if billed < 1:
                raise Wrong(f"{job} has a verdict that was never asked for")
            if billed > 1 + doubt:
                raise Wrong(f"{job} was paid for {billed} times, and its event owns up to {doubt} in doubt")
            extra += billed - 1
            waits.append(min(when for _, when in events[job]) - self.sent[job])
        if extra > explained:
            raise Wrong(f"{extra} calls beyond one for each job, and the fault explains {explained}")
        count = len(self.jobs)
        waits.sort()
        text = f"{count} jobs, {count} events, {count + extra} calls"
        if repeated:
            text += f", {repeated} events sent twice"
        if extra:
            text += f" ({extra} in doubt)"
        return f"{text}, p50 {waits[count // 2]:.1f} s, max {waits[-1]:.1f} s"

    def verdict(self, explained=0, limit=180):
        self.settle(limit)
        return self.judge(explained)
