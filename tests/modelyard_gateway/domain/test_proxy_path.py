import pytest
from modelyard_gateway.domain.proxy_path import ProxyPath, parse_proxy_path


@pytest.mark.parametrize(
    ("raw", "route_id", "upstream"),
    [
        (b"/model/proxy/42/embed", 42, b"/embed"),
        (b"/model/proxy/42/a/b%2Fc/", 42, b"/a/b%2Fc/"),
        (b"/model/proxy/42/", 42, b"/"),
        (b"/model/proxy/42", 42, b"/"),
        (b"/model/proxy/42/7/embed", 42, b"/7/embed"),
        (b"/model/proxy/42//embed", 42, b"//embed"),
        (b"/model/proxy/embed", None, b"/embed"),
        (b"/model/proxy/v1/embed", None, b"/v1/embed"),
        (b"/model/proxy/4x/embed", None, b"/4x/embed"),
        (b"/model/proxy/%34/embed", None, b"/%34/embed"),
        (b"/model/proxy/", None, b"/"),
        (b"/model/proxy/" + b"1" * 5000 + b"/x", None, b"/" + b"1" * 5000 + b"/x"),
    ],
)
def test_the_first_number_is_the_route_and_the_rest_is_kept(
    raw: bytes, route_id: int | None, upstream: bytes
) -> None:
    assert parse_proxy_path(raw) == ProxyPath(route_id, upstream)


@pytest.mark.parametrize("raw", [b"/model/proxy", b"/model%2Fproxy/42/x", b"/v1/models"])
def test_another_path_is_none(raw: bytes) -> None:
    assert parse_proxy_path(raw) is None
