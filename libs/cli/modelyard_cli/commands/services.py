"""Each service alone: everything after the name is the service's own."""

import importlib

import typer

from modelyard_cli.errors import UsageError

SERVICES = {
    "api": ("modelyard_api", "api", "The REST API with its read models."),
    "scheduler": ("modelyard_scheduler", "scheduler", "Turns wished replicas into placed instances."),
    "gateway": ("modelyard_gateway", "gateway", "Inference: OpenAI paths and the generic proxy."),
    "worker": (
        "modelyard_worker_agent",
        "worker,llama-cpp",
        "The agent of one machine, or: drain NAME, resume NAME.",
    ),
}

ASKED_OF_WORKERS = ("drain", "resume")
"""`modelyard worker` with one of these is no agent (`workers.py`)."""
PASS_ALL_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def add_service(app: typer.Typer, name: str) -> None:
    package, extra, text = SERVICES[name]

    @app.command(
        name, help=f"{text} Its settings: 'modelyard {name} --help'.", context_settings=PASS_ALL_THROUGH
    )
    def run(context: typer.Context) -> None:
        if name == "worker" and context.args[:1] and context.args[0] in ASKED_OF_WORKERS:
            from modelyard_cli.commands.workers import workers_app

            workers_app(args=context.args, prog_name="modelyard worker")
        try:
            module = importlib.import_module(f"{package}.main")
        except ModuleNotFoundError as error:
            raise UsageError(
                f"The Python package of {error.name!r} is missing.",
                hint=f"Install what is needed with: pip install 'modelyard[{extra}]'",
            ) from error
        raise typer.Exit(module.main(context.args))
