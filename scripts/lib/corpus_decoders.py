"""What Pillow and djpeg make of files. A decoder may crash, hang or want all memory on such files: each reading has a process and limits of its own."""

import json
import multiprocessing
import os
import resource
import signal
import subprocess

from PIL import EpsImagePlugin, Image

SECONDS = 20
MEMORY = 4 << 30
# Output of djpeg that is no fault of the file; it warns of bad data and goes on.
READ = (0, 2)


def read_all(paths):
    """For each path: pillow and djpeg (None where it was read, else why not), and size, orientation and format as Pillow has them."""
    with multiprocessing.Pool(initializer=limit) as pool:
        return pool.map(read, paths, chunksize=8)


def limit():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def read(path):
    return {"djpeg": djpeg(path), **apart(pillow, path)}


def djpeg(path):
    try:
        done = subprocess.run(
            ["djpeg", "-outfile", os.devnull, path], stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {SECONDS} s"
    if done.returncode in READ:
        return None
    return done.stderr.decode(errors="replace").strip().rpartition("\n")[2] or f"exit code {done.returncode}"


def pillow(path):
    # What is beyond image.max_pixels is refused in any case, and Pillow's own limit is below that of some phones.
    Image.MAX_IMAGE_PIXELS = None
    # It would run the PostScript.
    EpsImagePlugin.gs_binary = False
    found = {}
    try:
        with Image.open(path) as image:
            found = {"format": image.format, "size": list(image.size)}
            # That of a TIFF is gone when it has been turned by it; that of a PNG may come behind its pixels.
            found["orientation"] = orientation(image) if image.format == "TIFF" else 1
            image.load()
            if image.format != "TIFF":
                found["orientation"] = orientation(image)
        return {**found, "pillow": None}
    except Exception as error:  # whatever a decoder throws at a broken file
        return {**found, "pillow": f"{type(error).__name__}: {error}"}


def orientation(image):
    try:
        value = image.getexif().get(0x0112, 1)
    except Exception:  # broken EXIF is no fault of the picture
        return 1
    # Pillow leaves values of the type BYTE as they are.
    value = value[0] if isinstance(value, bytes) and value else value
    return value if value in range(1, 9) else 1


def apart(reader, path):
    """In a process of its own, so that its death is an answer, too."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        signal.alarm(SECONDS)
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        with os.fdopen(into, "w") as pipe:
            json.dump(reader(path), pipe)
        os._exit(0)
    os.close(into)
    with os.fdopen(out) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if status:
        return {"pillow": f"ended by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "died"}
    return json.loads(said)
