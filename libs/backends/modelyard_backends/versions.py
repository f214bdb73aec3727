"""Which version of a backend is meant, and its image."""

from collections.abc import Collection

from modelyard_contracts.backends import BackendVersion, InferenceBackend

from modelyard_backends.placeholders import BadTemplate, fill
from modelyard_backends.start import CannotStart


def version_wanted(backend: InferenceBackend, asked: str | None) -> str | None:
    """None: whatever is there."""
    return asked or backend.default_version


def check_installed(backend: InferenceBackend, asked: str | None, installed: str) -> str:
    """The version that runs as a process. Raises `CannotStart` if another one was asked for."""
    if asked is not None and asked != installed:
        raise CannotStart(
            f"backend_version: {backend.backend_name} {asked} is wanted, and this worker has {installed}: "
            "install that one, or run the backend in a container"
        )
    return installed


def settings_of(backend: InferenceBackend, version: str | None) -> BackendVersion:
    """What is said of a version; nothing for one that is like any other."""
    return backend.version_configs.get(version or "", BackendVersion())


def image_of(
    backend: InferenceBackend, version: str | None, framework: str, own_image: str | None = None
) -> str:
    """`own_image`: the deployment's. Raises `CannotStart` where the backend has none for the framework."""
    config = settings_of(backend, version)
    image = own_image or config.images.get(framework) or config.image_name or backend.images.get(framework)
    if image is None:
        having = frameworks_of(backend, version)
        raise CannotStart(
            f"backend: {backend.backend_name} {version or ''} has no image for {framework}; "
            f"it has some for {', '.join(sorted(having)) or 'nothing: image_name is needed'}"
        )
    try:
        return fill(image, {"version": version or "latest"})
    except BadTemplate as error:
        raise CannotStart(f"image {image}: {error}") from error


def frameworks_of(backend: InferenceBackend, version: str | None) -> Collection[str]:
    """Those for which there is an image."""
    config = settings_of(backend, version)
    own = {*config.images, *config.built_in_frameworks, *filter(None, [config.custom_framework])}
    return own or set(backend.images)
