"""Both hubs are asked by their real client libraries, over real HTTP."""

from pathlib import Path

import pytest
from hub_server import Hub
from modelyard_contracts.deployments import Source
from modelyard_contracts.models import ModelFormat
from modelyard_models.sources.catalogue import Catalogue
from modelyard_models.sources.errors import (
    BadAnswer,
    BadCoordinates,
    Denied,
    Limited,
    NotThere,
    Offline,
    Unreachable,
)
from modelyard_models.sources.port import Search, Sort
from modelyard_models_hub import CONFIG, HUBS, at, catalogue_for

FILE = {Source.HUGGINGFACE: "/resolve/", Source.MODEL_SCOPE: "/repo?"}
INFO = {Source.HUGGINGFACE: "/api/models/org", Source.MODEL_SCOPE: "/openapi/v1/models/org"}


@pytest.fixture(params=HUBS)
def source(request: pytest.FixtureRequest) -> Source:
    return Source(request.param)


async def test_a_search_is_sorted_and_paged(catalogue: Catalogue, source: Source) -> None:
    first = await catalogue.search(source, Search(text="tiny", sort=Sort.LIKES, per_page=1))
    second = await catalogue.search(source, Search(text="tiny", sort=Sort.LIKES, per_page=1, page=2))
    assert [model.id for model in (*first.models, *second.models)] == ["org/tiny", "org/tiny-gguf"]
    assert first.has_more
    assert not second.has_more
    assert second.models[0].downloads == 500
    assert second.models[0].updated_at is not None


async def test_a_model_of_safetensors_is_described_by_its_small_files(
    catalogue: Catalogue, source: Source
) -> None:
    found = await catalogue.inspect(at(source, "org/tiny"))
    assert found.facts.format is ModelFormat.SAFETENSORS
    assert found.facts.config == CONFIG
    assert found.facts.weight_bytes == found.repository.sizes["model.safetensors"]
    assert found.readme == "# Tiny\nA model for tests."


async def test_of_a_gguf_model_the_header_is_read_and_not_the_weights(
    catalogue: Catalogue, source: Source, hub: Hub
) -> None:
    found = await catalogue.inspect(at(source, "org/tiny-gguf", "*padded*"))
    assert found.facts.format is ModelFormat.GGUF
    assert found.facts.gguf is not None
    assert found.facts.gguf.metadata["llama.context_length"] == 2048
    assert [choice.file for choice in found.gguf] == ["tiny-F32.gguf", "tiny-padded.gguf"]
    assert hub.bytes_sent <= (1 << 20) + 100


async def test_what_was_read_once_is_not_asked_again(catalogue: Catalogue, source: Source, hub: Hub) -> None:
    first = await catalogue.inspect(at(source, "org/tiny"))
    hub.asked.clear()
    assert await catalogue.inspect(at(source, "org/tiny")) == first
    assert not hub.asked


async def test_offline_asks_nothing_and_says_what_it_would_have_asked(
    hub: Hub, source: Source, tmp_path: Path
) -> None:
    online = catalogue_for(hub, tmp_path, model_cache_expiry_s=0.0)
    known = await online.inspect(at(source, "org/tiny"))
    hub.asked.clear()
    offline = catalogue_for(hub, tmp_path, model_source_offline=True, model_cache_expiry_s=0.0)
    assert await offline.inspect(at(source, "org/tiny")) == known
    with pytest.raises(Offline, match=f"would have asked {hub.url} for org/tiny-gguf"):
        await offline.inspect(at(source, "org/tiny-gguf"))
    with pytest.raises(Offline, match="a search for 'x'"):
        await offline.search(source, Search(text="x"))
    assert not hub.asked


async def test_what_is_missing_is_named(catalogue: Catalogue, source: Source) -> None:
    with pytest.raises(NotThere, match="org/nothing"):
        await catalogue.inspect(at(source, "org/nothing"))
    with pytest.raises(NotThere, match="revision 'v9'"):
        await catalogue.inspect(at(source, "org/tiny", revision="v9"))
    with pytest.raises(NotThere, match=r"no model in a file like \*Q4\*; it has tiny-F32.gguf"):
        await catalogue.inspect(at(source, "org/tiny-gguf", "*Q4*"))
    with pytest.raises(BadCoordinates):
        await catalogue.inspect(at(source, "a/b/c/d"))


async def test_a_gated_model_needs_its_token_and_is_no_one_elses_from_the_cache(
    catalogue: Catalogue, source: Source
) -> None:
    with pytest.raises(Denied, match=r"(?s)gated.*token"):
        await catalogue.inspect(at(source, "org/gated"))
    found = await catalogue.inspect(at(source, "org/gated"), token="hf_open")
    assert found.facts.config == CONFIG
    with pytest.raises(Denied):
        await catalogue.inspect(at(source, "org/gated"))
    with pytest.raises(Denied):
        await catalogue.inspect(at(source, "org/gated"), token="hf_wrong")


async def test_a_rate_limit_is_waited_for_if_there_is_time(
    catalogue: Catalogue, source: Source, hub: Hub
) -> None:
    hub.trouble(FILE[source], status=429, headers={"Retry-After": "0"}, times=2)
    found = await catalogue.inspect(at(source, "org/tiny"))
    assert found.facts.config == CONFIG


async def test_a_rate_limit_beyond_the_deadline_is_an_error_at_once(
    catalogue: Catalogue, source: Source, hub: Hub
) -> None:
    hub.trouble(INFO[source], status=429, headers={"Retry-After": "900"})
    with pytest.raises(Limited) as raised:
        await catalogue.inspect(at(source, "org/tiny"))
    assert raised.value.retry_after_s == 900
    assert sum(hub.asked.values()) == 1


async def test_a_hub_that_is_slow_is_given_up(hub: Hub, source: Source, tmp_path: Path) -> None:
    hub.trouble(INFO[source], pause_s=5.0)
    impatient = catalogue_for(hub, tmp_path, model_source_timeout_s=0.3)
    with pytest.raises(Unreachable, match="no answer"):
        await impatient.inspect(at(source, "org/tiny"))
    impatient.close()


async def test_faults_of_the_hub_and_no_hub_at_all(hub: Hub, source: Source, tmp_path: Path) -> None:
    catalogue = catalogue_for(hub, tmp_path)
    hub.trouble(INFO[source], status=503)
    with pytest.raises(Unreachable, match="status 503"):
        await catalogue.inspect(at(source, "org/tiny"))
    nowhere = catalogue_for(Hub("http://127.0.0.1:9"), tmp_path / "other")
    with pytest.raises(Unreachable, match="connection failed"):
        await nowhere.inspect(at(source, "org/tiny"))
    with pytest.raises(Unreachable, match="connection failed"):
        await nowhere.search(source, Search(text="tiny"))


async def test_a_connection_that_breaks_off_is_no_answer(
    catalogue: Catalogue, source: Source, hub: Hub
) -> None:
    hub.trouble(FILE[source], truncated=True)
    with pytest.raises((Unreachable, BadAnswer)):
        await catalogue.inspect(at(source, "org/tiny"))


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"\xff\xfe", b'{"a":' * 10_000], ids=["cut", "list", "binary", "deep"]
)
async def test_a_config_that_is_no_json_object_is_named(
    catalogue: Catalogue, source: Source, hub: Hub, body: bytes
) -> None:
    hub.add("org/broken", {"config.json": body, "model.safetensors": b""})
    with pytest.raises(BadAnswer, match=r"config\.json|ends within"):
        await catalogue.inspect(at(source, "org/broken"))


@pytest.mark.parametrize("body", [b"<html>", b"{", b"[1]", b'{"a":' * 10_000])
async def test_an_api_that_answers_nonsense_is_an_error(
    catalogue: Catalogue, source: Source, hub: Hub, body: bytes
) -> None:
    hub.trouble(INFO[source], body=body)
    with pytest.raises((BadAnswer, NotThere)):
        await catalogue.inspect(at(source, "org/tiny"))


async def test_a_safetensors_header_of_a_gigabyte_is_not_read(
    catalogue: Catalogue, source: Source, hub: Hub
) -> None:
    hub.add("org/huge", {"model.safetensors": (1 << 30).to_bytes(8, "little") + bytes(100)})
    with pytest.raises(BadAnswer, match=r"header of model\.safetensors claims 1073741824 bytes"):
        await catalogue.inspect(at(source, "org/huge"))


async def test_a_gguf_header_that_claims_the_world_is_not_believed(
    catalogue: Catalogue, source: Source, hub: Hub
) -> None:
    counts = (1 << 60).to_bytes(8, "little")
    hub.add("org/huge", {"a.gguf": b"GGUF" + (3).to_bytes(4, "little") + counts + counts})
    with pytest.raises(BadAnswer, match=r"a\.gguf: the header claims 1152921504606846976 tensors"):
        await catalogue.inspect(at(source, "org/huge"))


async def test_a_small_file_that_turns_out_huge_is_not_taken(
    catalogue: Catalogue, source: Source, hub: Hub
) -> None:
    hub.add("org/fat", {"config.json": bytes(9 << 20), "model.safetensors": b""})
    with pytest.raises(BadAnswer, match=r"config\.json claims"):
        await catalogue.inspect(at(source, "org/fat"))


async def test_a_compressed_answer_is_refused(catalogue: Catalogue, source: Source, hub: Hub) -> None:
    hub.trouble(FILE[source], headers={"Content-Encoding": "gzip"})
    with pytest.raises(BadAnswer, match="compressed"):
        await catalogue.inspect(at(source, "org/tiny"))
