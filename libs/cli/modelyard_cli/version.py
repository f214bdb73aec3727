"""Which Modelyard this is."""


def installed_version() -> str:
    from importlib import metadata

    try:
        return metadata.version("modelyard")
    except metadata.PackageNotFoundError:
        return "unknown"
