"""Takes the events of antispoofd: consumer.py [COUNT], for ever without COUNT."""

import json
import os
import pathlib
import sys

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2f")
QUEUE = os.environ.get("RESULTS_QUEUE", "kyc.results")
RESULTS = pathlib.Path(os.environ.get("RESULTS_DIR", "results"))


def main(count):
    RESULTS.mkdir(parents=True, exist_ok=True)
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        declare(channel)
        channel.basic_qos(prefetch_count=20)
        taken = 0
        for method, _, body in channel.consume(QUEUE):
            try:
                event = json.loads(body)
                event["id"], event["type"], event["data"]
            except (ValueError, TypeError, KeyError) as problem:
                # Not an event, and it will not become one: to the queue beside, for somebody to look at.
                print(f"not an event: {problem}", file=sys.stderr)
                channel.basic_reject(method.delivery_tag, requeue=False)
            else:
                handle(event)
                # Only now: if this process dies before, the event is delivered again.
                channel.basic_ack(method.delivery_tag)
            taken += 1
            if taken == count:
                break
        # Gives back what was fetched ahead and is not settled.
        channel.cancel()


def declare(channel):
    """A queue of your own, bound to verdicts and failures. What cannot be read goes to a queue beside it."""
    channel.queue_declare(f"{QUEUE}.unread", durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_declare(
        QUEUE,
        durable=True,
        arguments={
            "x-queue-type": "quorum",
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": f"{QUEUE}.unread",
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
    )
    for key in ("verdict.*", "failure.*"):
        channel.queue_bind(QUEUE, "antispoof.results", key)


def handle(event):
    # An event may come more than once, always under the same id. So what it does is done once for each id: here a file that bears it, in a database a row with
    # the id as its key, written in one transaction with the effect.
    first = store(event["id"], event)
    data, again = event["data"], "" if first else " (again)"
    match event["type"]:
        case "antispoofd.verdict.v1":
            print(f"{data['job_id']} {data['outcome']}{again}", flush=True)
        case "antispoofd.failure.v1":
            failure = data["failure"]
            print(f"{data['job_id']} {failure['code']}{again}", flush=True)
            if first:
                print(advice(failure), file=sys.stderr)
        case other:
            # Of a later version; what you do not know is not for you.
            print(f"{event['id']} {other}{again}", flush=True)


def advice(failure):
    """A failure is not a spoof. Whose fault it was is in its class, what to do about it in its code."""
    if failure["class"] == "permanent" and failure["stage"] in ("fetch", "inspect", "call"):
        return f"ask for another picture: {failure['message']}"
    return f"for those who run antispoofd; the job is in antispoof.parked and can be replayed: {failure['message']}"


def store(event_id, event):
    """Whether it was not there yet. Whole or not at all: a link to a finished file is made, which fails where the name is taken."""
    name = str(event_id).replace("/", "_")
    draft = RESULTS / f".{name}.{os.getpid()}"
    draft.write_text(json.dumps(event), encoding="utf-8")
    try:
        os.link(draft, RESULTS / f"{name}.json")
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
