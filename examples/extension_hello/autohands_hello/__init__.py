"""An extension of one tool."""

from autohands.sdk import Extension, tool


@tool(effect="read")
async def hello(name: str, times: int = 1) -> str:
    """Greet somebody by name.

    Args:
        name: Whom to greet.
        times: How often.
    """
    return " ".join([f"Hello, {name}!"] * times)


extension = Extension(name="hello", version="1.0.0", summary="Greets people by name.", tools=(hello,))
