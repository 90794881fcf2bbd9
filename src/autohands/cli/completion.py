"""`autohands completion`: the script that teaches a shell to complete our commands."""

from __future__ import annotations

from typing import Any

import click

from autohands.cli import options
from autohands.cli.listing import show_json

_VARIABLE = "_AUTOHANDS_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@options.everywhere
def command(shell: str, *, json: bool, **_: Any) -> None:
    """Print the completion script for a shell.

    \b
    bash:  eval "$(autohands completion bash)"     in ~/.bashrc
    zsh:   eval "$(autohands completion zsh)"      in ~/.zshrc
    fish:  autohands completion fish | source      in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None, "click knows the three shells"
    script = kind(click.get_current_context().find_root().command, {}, "autohands", _VARIABLE).source()
    if json:
        show_json({"shell": shell, "script": script})
    else:
        click.echo(script)
