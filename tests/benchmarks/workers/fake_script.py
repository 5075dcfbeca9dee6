"""What a worker runs in tests: a photo has as many garments as its file has bytes. Standard library only."""

import os
import sys
import time

_NUM_KEYPOINTS = 8


def load(options):
    if options.get("fail"):
        raise ValueError("it cannot\nbe loaded")
    if options.get("die"):
        print("the last words", file=sys.stderr)
        os._exit(3)
    print("a library talks on stdout", flush=True)
    slow_ms = options.get("slow_ms", 0)

    def one(photo):
        return [[(0.0, 0.0)] * _NUM_KEYPOINTS for _ in photo]

    def slow(photos):
        time.sleep(slow_ms / 1000)
        return [one(photo) for photo in photos]

    ways = {"slow": lambda: slow, "quick": lambda: lambda photos: [one(photo) for photo in photos]}
    facts = {"precision": "fp32", "threads": str(options["threads"]), "folder": os.getcwd()}
    facts["environment"] = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "PYTHONPATH")}
    return {"one": one, "batches": ways, "facts": facts, "close": lambda: print("closed", file=sys.stderr)}
