import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelyard_worker_agent.domain.disk_room import DiskFull, OnDisk, Space, evictions, room_bytes

MODELS = st.lists(
    st.builds(
        OnDisk, st.uuids().map(str), st.integers(0, 1000), st.floats(0, 100, allow_nan=False), st.booleans()
    ),
    max_size=8,
)
SPACES = st.builds(Space, st.integers(0, 3000), st.sampled_from([0, 500, 2000, 5000]), st.integers(0, 500))


@given(MODELS, SPACES, st.integers(0, 4000))
def test_what_goes_was_not_in_use_and_makes_room_in_order_of_use(
    there: list[OnDisk], space: Space, need: int
) -> None:
    try:
        gone = set(evictions("org/m", need, there, space))
    except DiskFull as error:
        assert str(need) in str(error)
        gone = {each.model_id for each in there if not each.in_use}
        assert not _fits(there, gone, space, need)
        return
    assert _fits(there, gone, space, need)
    assert not any(each.in_use for each in there if each.model_id in gone)
    latest = max((each.last_used for each in there if each.model_id in gone), default=0.0)
    assert all(each.last_used >= latest for each in there if not each.in_use and each.model_id not in gone)


@given(MODELS, SPACES)
def test_the_room_is_the_most_that_may_come(there: list[OnDisk], space: Space) -> None:
    room = room_bytes(there, space)
    if room:
        evictions("org/m", room, there, space)
    with pytest.raises(DiskFull):
        evictions("org/m", room + 1, there, space)


def _fits(there: list[OnDisk], gone: set[str], space: Space, need: int) -> bool:
    freed = sum(each.used_bytes for each in there if each.model_id in gone)
    kept = sum(each.used_bytes for each in there) - freed
    coming = need + space.promised_bytes
    return coming <= space.free_bytes + freed and (
        not space.quota_bytes or kept + coming <= space.quota_bytes
    )


def test_nothing_goes_without_need() -> None:
    idle = OnDisk("a", 100, 1.0, in_use=False)

    assert evictions("org/m", 50, [idle], Space(free_bytes=50, quota_bytes=0)) == ()


def test_a_full_disk_names_the_need_and_the_space() -> None:
    with pytest.raises(DiskFull, match="org/m needs 70 bytes more, and 50 are free on the disk"):
        evictions("org/m", 70, [], Space(free_bytes=50, quota_bytes=0))
