"""The list of scenes, and what each of them is given."""

import threading
import time

import kube

ALL = {}


def scene(name, what):
    """Registers a scene. It returns its figures, and raises when something is not as it must be."""
    def register(function):
        ALL[name] = (what, function)
        return function
    return register


class LeastReady(threading.Thread):
    """The fewest ready pods that were seen meanwhile: the workers', or others'."""

    def __init__(self, *of):
        super().__init__(daemon=True)
        self.of, self.count, self.over = of, 1000, threading.Event()

    def run(self):
        while not self.over.is_set():
            try:
                self.count = min(self.count, sum(1 for pod in kube.pods(*self.of) if kube.ready(pod)))
            except Exception:  # noqa: BLE001, S110  the API may be busy; the next look counts
                pass
            time.sleep(0.2)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


class World:
    """The cluster, the release and the oracle."""

    def __init__(self, parts, witness, jobs):
        self.node, self.witness, self.jobs, self.release = parts, witness, jobs, kube.Release()
        self.round = 0

    def load(self, name, per_second=15, jobs=None, size=30_000):
        from oracle import Load
        self.round += 1
        return Load(self.witness, f"{name}-{self.round}", per_second, jobs, size)

    def least_ready(self, *of):
        return LeastReady(*of)


def chosen(names):
    """The scenes of a list, in the order of a run."""
    unknown = [name for name in names if name not in ALL]
    if unknown:
        raise SystemExit(f"cluster: no scene {', '.join(unknown)}; there are: {', '.join(ALL)}")
    return [name for name in ALL if not names or name in names]

