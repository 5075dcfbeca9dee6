"""Serve the highest version in a model directory, and switch to new versions as they appear."""

import contextlib
import dataclasses
import sys
import threading
from pathlib import Path

from cspn_tf.console import one_line
from cspn_tf.inference.versions import check_saved_model, find_versions, latest_version


@dataclasses.dataclass(frozen=True)
class VersionState:
    """State of one version: "LOADING", "AVAILABLE" or "END", with the error if it could not be loaded."""

    name: str
    error: str = ""


class ModelVersions:
    """Keeps the highest version of a model loaded, and the previous one until the new one is ready.

    A version that cannot be loaded is reported once, and retried only after its files have changed.

    Args:
        model_dir: directory with one subdirectory per version.
        load: function of `(version, version_dir)` that returns the servable, or raises `UserError`.
        poll_seconds: interval between scans of the directory.
    """

    def __init__(self, model_dir, load, poll_seconds=2.0):
        self._model_dir = Path(model_dir)
        self._load = load
        self._poll_seconds = poll_seconds
        self._lock = threading.Lock()
        self._version = self._servable = None
        self._states = {}
        self._broken_files = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._poll_until_stopped, name="model-versions", daemon=True)

    def load_first(self) -> int:
        """Load the highest version and return its number.

        Raises:
            UserError: there is none, or it cannot be loaded.
        """
        version, version_dir = latest_version(self._model_dir)
        self._load_and_switch(version, version_dir)
        return version

    def start_polling(self) -> None:
        """Scan for new versions in the background until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Stop scanning; waits up to 10 seconds for a load in progress."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def get(self, version=None):
        """Return the servable of a version (None: the current one), or None if that version is not served."""
        with self._lock:
            return self._servable if version in (None, self._version) else None

    def states(self) -> dict:
        """Return a dict of version to `VersionState`, ascending, for every version that it has tried to load."""
        with self._lock:
            return dict(sorted(self._states.items()))

    def poll(self) -> None:
        """Scan once, and load the highest version unless it is the current one."""
        versions = find_versions(self._model_dir)
        version = max(versions, default=self._version)
        if version == self._version:
            return
        version_dir = versions[version]
        files = _list_files(version_dir)
        if self._broken_files.get(version) == files:
            return
        try:
            check_saved_model(version_dir)
            self._load_and_switch(version, version_dir)
        except Exception as error:
            self._broken_files[version] = files
            reason = one_line(error)
            with self._lock:
                self._states[version] = VersionState("END", reason)
            say(f"version {version} is not served: {reason}", sys.stderr)
        else:
            say(f"version {version} is served", sys.stdout)

    def _load_and_switch(self, version, version_dir):
        with self._lock:
            self._states[version] = VersionState("LOADING")
        servable = self._load(version, version_dir)
        with self._lock:
            if self._version is not None:
                self._states[self._version] = VersionState("END")
            self._states[version] = VersionState("AVAILABLE")
            self._version, self._servable = version, servable

    def _poll_until_stopped(self):
        while not self._stopping.wait(self._poll_seconds):
            try:
                self.poll()
            except OSError as error:  # the directory changed during the scan; the next scan sees the new state
                say(f"cannot read {self._model_dir}: {error}", sys.stderr)


def say(text, stream) -> None:
    """Print a line where somebody may read it: a closed pipe must not end a thread of the server."""
    with contextlib.suppress(OSError, ValueError):
        print(text, file=stream, flush=True)


def _list_files(version_dir):
    stats = ((path, path.stat()) for path in sorted(version_dir.rglob("*")) if path.is_file())
    return [(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stats]
