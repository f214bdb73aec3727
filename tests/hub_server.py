"""A local server that speaks the protocols of Hugging Face and ModelScope, for the real client libraries.

    with hub_server(tmp_path) as hub:
        hub.add("org/tiny", {"tiny.gguf": path_or_bytes, "config.json": b"{}"})
        HF_ENDPOINT = MODELSCOPE_ENDPOINT = hub.url

`hub.asked` counts requests by "METHOD path"; `hub.bytes_sent` is what went out of files.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer

import hub_huggingface
import hub_modelscope
from hub_answering import Answering, Hub, Trouble, safetensors

__all__ = ["Hub", "Trouble", "hub_server", "safetensors"]


@contextmanager
def hub_server() -> Iterator[Hub]:
    class Handler(Answering):
        routes = (*hub_huggingface.ROUTES, *hub_modelscope.ROUTES)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub = Handler.hub = Hub(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
