from collections import Counter

from modelyard_contracts.events import Affinity
from modelyard_gateway.domain.affinity import Ring, affinity_key
from modelyard_gateway.domain.slot import Slot
from modelyard_gateway.domain.table import Endpoint

TURNS = (
    b'{"model": "m", "messages": [{"role": "system", "content": "%b"}, {"role": "user", "content": "%b"}]}'
)


def slots(count: int) -> list[Slot]:
    return [Slot(Endpoint(n, 1, 1, 0, "h", 1)) for n in range(count)]


def test_the_turns_of_a_conversation_have_the_same_key_and_other_conversations_another() -> None:
    system = b"You are " + b"very " * 300 + b"helpful"
    keys = [affinity_key(Affinity.PREFIX, None, TURNS % (system, said)) for said in (b"a", b"b", b"a b c")]
    assert len(set(keys)) == 1
    assert affinity_key(Affinity.PREFIX, None, TURNS % (b"other", b"a")) not in keys
    assert affinity_key(Affinity.PREFIX, None, b'{"model": "m"}') is None


def test_a_session_is_what_the_client_says_it_is() -> None:
    by_header = affinity_key(Affinity.SESSION, b"s1", b'{"user": "ann"}')
    assert by_header == affinity_key(Affinity.SESSION, b"s1", b"{}")
    by_user = affinity_key(Affinity.SESSION, None, b'{"messages": [{"role": "user"}], "user": "ann"}')
    assert by_user == affinity_key(Affinity.SESSION, None, b'{"user":"ann"}') != by_header
    assert affinity_key(Affinity.SESSION, None, b'{"messages": [{"role": "user"}]}') is None


def test_few_keys_move_when_an_instance_goes_and_all_get_some() -> None:
    four = slots(4)
    keys = [n * 0x9E3779B97F4A7C15 % 2**64 for n in range(2000)]
    before = [Ring(four).home(key).instance_id for key in keys]
    after = [Ring(four[:3]).home(key).instance_id for key in keys]
    assert all(was == now for was, now in zip(before, after, strict=True) if was != 3)
    assert all(250 < count < 900 for count in Counter(before).values())


def test_a_busy_instance_leaves_its_keys_to_the_next() -> None:
    three = slots(3)
    ring = Ring(three)
    home = ring.home(7)
    assert ring.find(7, (), 0.0, 100, 1.25) is home
    home.in_flight = 2
    away = ring.find(7, (), 0.0, 100, 1.25)
    assert away is not None and away is not home
    for slot in three:
        slot.in_flight = 2
    assert ring.find(7, (), 0.0, 100, 1.25) is home
    assert ring.find(7, three, 0.0, 100, 1.25) is None
