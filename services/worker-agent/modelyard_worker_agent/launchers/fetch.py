"""Fetches a model from Hugging Face, in a process of its own: it can be ended at any moment.

    python -m modelyard_worker_agent.launchers.fetch --directory DIR --repo ORG/NAME [--file PATTERN]

`HF_ENDPOINT` and `HF_TOKEN` of the environment count. What was fetched in part is taken up again. The last
line of its output is JSON: `{"files": [...]}`, the first to be served, or `{"missing": why}` or
`{"failed": why}`; without such a line, the last line of standard error says why not.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from modelyard_models.gguf_files import NoSuchFile, choose_model


def fetch(directory: Path, repo: str, pattern: str | None) -> dict[str, object]:
    try:
        info = HfApi().model_info(repo, files_metadata=True)
        sizes = {entry.rfilename: entry.size or 0 for entry in info.siblings or []}
        chosen = choose_model(repo, sizes, pattern)
        for name in chosen:
            sys.stderr.write(f"fetching {repo}/{name}, {sizes.get(name, 0)} bytes\n")
            hf_hub_download(repo, name, revision=info.sha, local_dir=directory)
    except NoSuchFile as error:
        return {"missing": str(error)}
    except HFValidationError as error:
        return {"missing": f"{repo!r} is no name of a Hugging Face repository: {error}"}
    except (HfHubHTTPError, OSError) as error:
        return {"failed": f"{repo} cannot be fetched from Hugging Face: {error}"}
    return {"files": list(chosen)}


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="fetch")
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--repo", required=True)
    parser.add_argument("--file")
    flags = parser.parse_args(argv)
    sys.stdout.write(json.dumps(fetch(flags.directory, flags.repo, flags.file)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
