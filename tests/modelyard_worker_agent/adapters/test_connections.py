import pytest
from modelyard_worker_agent.adapters.connections import End, clients_of

CLIENT, OTHER = ("10.0.0.2", 40000), ("10.0.0.3", 50000)


@pytest.mark.parametrize("server", [("127.0.0.1", 8000), ("172.20.0.4", 8080)])
def test_a_client_is_seen_at_either_end_of_its_connection_and_counts_once(server: End) -> None:
    assert clients_of(server, [(server, CLIENT)]) == {CLIENT}
    assert clients_of(server, [(CLIENT, server)]) == {CLIENT}
    assert clients_of(server, [(server, CLIENT), (CLIENT, server), (OTHER, server)]) == {CLIENT, OTHER}


def test_connections_to_others_do_not_count() -> None:
    assert clients_of(("172.20.0.4", 8080), [(CLIENT, ("172.20.0.5", 8080)), (CLIENT, OTHER)]) == set()
