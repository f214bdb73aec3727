"""A registry of container images on loopback, with one image of one layer."""

import gzip
import hashlib
import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
LAYER_BYTES = 4 * 2**20


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _layer() -> bytes:
    """A tar with a file of noise."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        info = tarfile.TarInfo("weights")
        info.size = LAYER_BYTES
        tar.addfile(info, io.BytesIO(os.urandom(LAYER_BYTES)))
    return made.getvalue()


class ImageRegistry(ThreadingHTTPServer):
    """`go_on`: while it is not set, no layer is sent beyond its first half. `layer_is_lost`: 404 for it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.go_on = threading.Event()
        self.go_on.set()
        self.layer_is_lost = False
        layer = _layer()
        packed = gzip.compress(layer, 1)
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]},
            }
        ).encode()
        self.layer = digest_of(packed)
        self.blobs = {self.layer: packed, digest_of(config): config}
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {"mediaType": CONFIG, "size": len(config), "digest": digest_of(config)},
                "layers": [{"mediaType": LAYER, "size": len(packed), "digest": self.layer}],
            }
        ).encode()

    @property
    def image(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}/model:1"


class _Answers(BaseHTTPRequestHandler):
    server: ImageRegistry

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        registry, last = self.server, self.path.rpartition("/")[2]
        if self.path == "/v2/":
            self._answer(b"{}", "application/json")
        elif self.path.endswith("/manifests/1") or last == digest_of(registry.manifest):
            self._answer(registry.manifest, MANIFEST)
        elif last in registry.blobs and not (registry.layer_is_lost and last == registry.layer):
            self._answer(registry.blobs[last], "application/octet-stream")
        else:
            error = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
            self._answer(json.dumps(error).encode(), "application/json", 404)

    def _answer(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Docker-Content-Digest", digest_of(body))
        self.end_headers()
        if self.command == "HEAD":
            return
        half = len(body) // 2
        self.wfile.write(body[:half])
        self.wfile.flush()
        if len(body) > LAYER_BYTES // 2:
            self.server.go_on.wait(60)
        self.wfile.write(body[half:])

    def log_message(self, *_: object) -> None: ...


@contextmanager
def image_registry() -> Iterator[ImageRegistry]:
    with ImageRegistry() as registry:
        thread = threading.Thread(target=registry.serve_forever, daemon=True)
        thread.start()
        yield registry
        registry.go_on.set()
        registry.shutdown()
        thread.join()
