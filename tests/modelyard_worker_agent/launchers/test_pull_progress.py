from modelyard_worker_agent.launchers.pull_progress import MIB, PullProgress


def test_what_is_here_of_all_layers_that_have_begun_is_told() -> None:
    progress = PullProgress()
    progress.take({"status": "Pulling from model", "id": "1"})
    progress.take({"status": "Already exists", "id": "a"})
    assert progress.text() == ""

    progress.take(
        {"status": "Downloading", "id": "b", "progressDetail": {"current": 5 * MIB, "total": 20 * MIB}}
    )
    progress.take({"status": "Downloading", "id": "c", "progressDetail": {"current": MIB, "total": 10 * MIB}})
    assert progress.text() == "6 of 30 MiB so far"

    progress.take({"status": "Download complete", "id": "b", "progressDetail": {}})
    progress.take({"status": "Extracting", "id": "b", "progressDetail": {"current": MIB, "total": 20 * MIB}})
    assert progress.text() == "21 of 30 MiB so far"
