"""Files through the worker, and the report beside what decoders make of them: scripts/corpus.

  corpus.py FOLDER CORPUS [--mutants N] [--seed S]     FOLDER is empty, and goes with all that is made
"""

import argparse
import contextlib
import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter

import corpus_decoders
import corpus_mutants

PROGRAM = "target/debug/antispoofd"
CONFIG = ("--config", "config/demo.toml")
# Names of so many files fit a command line.
AT_ONCE = 5000
READY_SECONDS = 30
STOP_SECONDS = 40
COLUMNS = ("judged", "image_corrupt", "unsupported_format", "not_an_image", "image_dimensions", "empty or too large", "anything else")
READERS = ("both", "only Pillow", "only djpeg", "none")
# What is refused on purpose, whichever decoder reads it.
BY_SIZE = ("image_dimensions", "empty or too large")
NO_END = "no end-of-image marker"


class File:
    """A file, what decoders make of it, and what became of its job."""

    def __init__(self, path, reading):
        self.path = path
        self.reading = reading
        self.event = None
        with open(path, "rb") as file:
            self.is_jpeg = file.read(3) == b"\xff\xd8\xff"

    def name(self, root):
        return os.path.relpath(self.path, root)

    def readers(self):
        pillow, djpeg = self.reading["pillow"] is None, self.reading["djpeg"] is None
        return READERS[0 if pillow and djpeg else 1 if pillow else 2 if djpeg else 3]

    def failure(self):
        return (self.event or {}).get("failure", {})

    def outcome(self):
        if self.event is None:
            return "anything else"
        code = self.failure().get("code")
        if code is None:
            return "judged"
        if code in ("object_empty", "object_too_large"):
            return "empty or too large"
        return code if code in COLUMNS else "anything else"

    def said(self):
        if self.event is None:
            return "no event"
        failure = self.failure()
        return f"{failure['code']}: {failure['message']}" if failure else "judged"

    def should_be_judged(self, convert):
        if self.is_jpeg:
            return self.readers() == "both"
        return self.reading["pillow"] is None and self.reading.get("format", "").lower() in convert


def main():
    parser = argparse.ArgumentParser(prog="scripts/corpus")
    parser.add_argument("folder")
    parser.add_argument("corpus")
    parser.add_argument("--mutants", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    root, files = asked.corpus, decoded(below(asked.corpus))
    if asked.mutants:
        sources = [file.path for file in files if file.is_jpeg and file.readers() == "both"]
        root = os.path.join(asked.folder, "mutants")
        os.mkdir(root)
        files = decoded(corpus_mutants.make(sources, asked.mutants, asked.seed, root))
    say(f"{len(files)} files through the worker")
    stats = judge(files, os.path.join(asked.folder, "all"), {})
    faults = report(files, root, stats)
    if "ANTISPOOFD__IMAGE__ORIENTATION" not in os.environ:
        judged = [file for file in files if file.is_jpeg and file.outcome() == "judged"]
        faults += orientations(judged, os.path.join(asked.folder, "turned"), root)
    # Damage that takes a decoder to notice is no surprise in a mutant.
    sys.exit(1 if faults and not asked.mutants else 0)


def below(folder):
    paths = [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names]
    return sorted(path for path in paths if os.path.isfile(path) and not os.path.islink(path))


def decoded(paths):
    say(f"{len(paths)} files through Pillow and djpeg")
    return [File(path, reading) for path, reading in zip(paths, corpus_decoders.read_all(paths))]


def judge(files, folder, settings):
    """One job for each file; their events, and what the simulator has counted."""
    os.mkdir(folder)
    # Names do not matter to the worker, and those of a corpus need not be unique.
    links = [os.path.join(folder, f"{number:06}") for number in range(len(files))]
    for link, file in zip(links, files):
        os.symlink(os.path.abspath(file.path), link)
        file.event = None
    with contextlib.ExitStack() as running:
        environment, simulator = start(running, folder, settings)
        for first in range(0, len(links), AT_ONCE):
            submitted = subprocess.run(
                [PROGRAM, "submit", *CONFIG, "--id-prefix", secrets.token_hex(8), "--to", "s3://antispoof-demo/corpus/", "--create-bucket"]
                + ["--wait", "--json", "--timeout", "10m", "--upload", *links[first : first + AT_ONCE]],
                env=environment, stdout=subprocess.PIPE, check=False,
            )
            for line in submitted.stdout.splitlines():
                event = json.loads(line)["data"]
                files[int(event["image"]["key"].rpartition("/")[2])].event = event
        with urllib.request.urlopen(f"{simulator}/_sim/stats") as answer:
            return json.load(answer)


def start(running, folder, settings):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANTISPOOFD_", "AWS_", "VIDEOSDK_", "RUST_LOG"))}
    images = {name: value for name, value in os.environ.items() if name.startswith("ANTISPOOFD__IMAGE__")}
    key, secret = secrets.token_hex(8), secrets.token_hex(16)
    environment = {
        **kept,
        **images,
        **settings,
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        # A broker of the caller's own may have real jobs under the usual names.
        "ANTISPOOFD__AMQP__PREFIX": "antispoof-corpus",
        "ANTISPOOFD__AMQP__URL": os.environ["ANTISPOOF_TEST_AMQP_URL"],
        "ANTISPOOFD__S3__ENDPOINT_URL": os.environ["ANTISPOOF_TEST_S3_ENDPOINT"],
        "ANTISPOOFD__ADMIN__LISTEN": f"127.0.0.1:{free_port()}",
        "AWS_ACCESS_KEY_ID": os.environ["ANTISPOOF_TEST_S3_ACCESS_KEY"],
        "AWS_SECRET_ACCESS_KEY": os.environ["ANTISPOOF_TEST_S3_SECRET_KEY"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "VIDEOSDK_API_KEY": key,
        "VIDEOSDK_SECRET": secret,
    }
    vendor = [PROGRAM, "simulate", "--listen", "127.0.0.1:0", "--api-key", key, "--secret", secret]
    simulator = running.enter_context(process(vendor, environment, folder + ".simulator", stdout=subprocess.PIPE))
    url = simulator.stdout.readline().decode().removeprefix("listening on ").strip()
    environment["ANTISPOOFD__API__URL"] = f"{url}/ai/v1/face-verification/detect-spoof"
    worker = running.enter_context(process([PROGRAM, "run", *CONFIG], environment, folder + ".worker"))
    deadline = time.monotonic() + READY_SECONDS
    while subprocess.run([PROGRAM, "health", "--ready"], env=environment, capture_output=True, check=False).returncode:
        if worker.poll() is not None or time.monotonic() > deadline:
            with open(folder + ".worker", encoding="utf-8") as log:
                sys.exit(f"corpus: the worker did not get ready:\n{log.read()[-4000:]}")
        time.sleep(0.1)
    return environment, url


@contextlib.contextmanager
def process(command, environment, log, **options):
    with open(log, "wb") as file, subprocess.Popen(command, env=environment, stderr=file, **{"stdout": file, **options}) as started:
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                started.kill()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def report(files, root, stats):
    counts = Counter((file.is_jpeg, file.readers(), file.outcome()) for file in files)
    print(f"| {len(files)} files | read by | {' | '.join(COLUMNS)} |\n|{'---|' * (2 + len(COLUMNS))}")
    for is_jpeg in (True, False):
        for readers in READERS:
            row = [counts[is_jpeg, readers, column] for column in COLUMNS]
            if any(row):
                cells = " | ".join(str(count or "") for count in row)
                print(f"| {'JPEG by its bytes' if is_jpeg else 'anything else'} | {readers} | {cells} |")
    convert = os.environ.get("ANTISPOOFD__IMAGE__CONVERT", "").lower().split(",")
    judged = [file for file in files if file.outcome() == "judged"]
    refused = [file for file in files if file.should_be_judged(convert) and file.outcome() not in ("judged", *BY_SIZE)]
    cut = [file for file in refused if NO_END in file.said()]
    calls = [file for file in files if file.readers() == "none" and called_for(file, stats)]
    sizes = [file for file in judged if "size" in file.reading and size(file) != file.reading["size"]]
    eventless = [file for file in files if file.event is None]
    faults = listed("read by both, and refused", [file for file in refused if file not in cut], root, File.said)
    listed("read by both, but without an end marker, which is refused on purpose", cut, root)
    faults += listed("read by none, and called for", calls, root, lambda file: f"{file.reading['djpeg']}; {file.reading['pillow']}")
    nameless = [file for file in files if file.outcome() == "not_an_image" and file.reading["pillow"] is None]
    formats = Counter(file.reading["format"] for file in nameless)
    counted = ", ".join(f"{count} {name}" for name, count in formats.most_common())
    print(f"\n{len(nameless)} read by Pillow, and no image for the worker: {counted or 'none'}")
    faults += listed("of another size for Pillow", sizes, root, lambda file: f"{size(file)}, {file.reading['size']}")
    faults += listed("ended otherwise", [file for file in files if file.event and file.outcome() == "anything else"], root, File.said)
    faults += listed("without an event", eventless, root)
    billed = stats["billed"]
    print(f"\n{len(files) - len(eventless)} events for {len(files)} files; {billed} calls for {len(judged)} verdicts")
    return faults + (billed != len(judged))


def called_for(file, stats):
    if file.outcome() == "judged":
        return True
    with open(file.path, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest() in stats["images"]


def size(file):
    image = file.event["image"]
    return [image["width"], image["height"]]


def orientations(judged, folder, root):
    """All of them once more, where only upright ones pass."""
    before = {file: file.reading.get("orientation", 1) for file in judged if file.reading["pillow"] is None}
    say(f"{len(before)} of them once more, with image.orientation = \"reject\"")
    judge(list(before), folder, {"ANTISPOOFD__IMAGE__ORIENTATION": "reject"})
    wrong = [file for file, orientation in before.items() if (orientation != 1) != ("orientation" in file.said())]
    turned = sum(orientation != 1 for orientation in before.values())
    print(f"\n{turned} of {len(before)} judged JPEGs are not upright for Pillow")
    return listed("upright for Pillow or the worker alone", wrong, root, lambda file: f"{before[file]}; {file.said()}")


def listed(what, files, root, why=lambda _: ""):
    print(f"\n{len(files)} {what}")
    for file in files:
        print(f"- `{file.name(root)}` {why(file)}".rstrip())
    return len(files)


def say(what):
    print(f"corpus: {what}", file=sys.stderr)


if __name__ == "__main__":
    main()
