"""Publishes jobs to antispoofd: producer.py ID KEY [ID KEY …]"""

import json
import os
import sys

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2f")


def main(arguments):
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        # From here on basic_publish waits for the broker's confirm. It raises NackError where the broker refuses, and UnroutableError where no queue takes the job.
        channel.confirm_delivery()
        for job_id, key in zip(arguments[::2], arguments[1::2], strict=True):
            publish(channel, job_id, key)
            print(f"published {job_id}", flush=True)


def publish(channel, job_id, key):
    # The id names the job. To publish it again after an error is safe: the same id and image are one job.
    body = json.dumps({"id": job_id, "key": key})
    properties = pika.BasicProperties(
        content_type="application/json",
        delivery_mode=pika.DeliveryMode.Persistent,
        message_id=job_id,
        correlation_id=job_id,
    )
    channel.basic_publish("antispoof.jobs", "antispoof.jobs", body, properties, mandatory=True)


main(sys.argv[1:])
