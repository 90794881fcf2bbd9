"""What a model call costs: before it is made the worst case, after it what was used, as far as that can be believed."""

from __future__ import annotations

import msgspec

from autohands.protocols.errors import ProviderError
from autohands.protocols.messages import Reply, Usage
from autohands.protocols.provider import ModelInfo, Request

# An unknown price counts as a dear one, so that a cap still ends a run. Micro-USD per million tokens.
UNKNOWN_PRICE = 40_000_000
INPUT_SHARE = 4  # a token read costs a part of a token written
CHARACTERS_PER_TOKEN = 3
UNSEEN_TOKENS = 64
BEYOND_BELIEF = 8
_ENCODER = msgspec.json.Encoder()


def priced(model: ModelInfo, unknown_price: int | None) -> ModelInfo:
    """The model with a price for everything; `unknown_price` is what a million tokens cost of which nobody knows it.

    Raises:
        ProviderError: Its price is not known, and such models are refused (None).
    """
    if model.input_price is not None and model.output_price is not None:
        return model
    if unknown_price is None:
        raise ProviderError(
            f"what {model.name} costs is not known",
            kind="budget",
            hint="[budget] unknown_price refuses such models; set it to what a million tokens cost, in USD",
        )
    read = -(-unknown_price // INPUT_SHARE) if model.input_price is None else model.input_price
    written = unknown_price if model.output_price is None else model.output_price
    return msgspec.structs.replace(model, input_price=read, output_price=written)


def cost(model: ModelInfo, usage: Usage) -> int:
    """What a call of a priced model costs, in micro-USD, rounded up."""
    input_price, output_price = model.input_price or 0, model.output_price or 0
    read_price = input_price if model.cache_read_price is None else model.cache_read_price
    write_price = input_price if model.cache_write_price is None else model.cache_write_price
    plain = max(usage.input - usage.cache_read - usage.cache_write, 0)
    total = (
        plain * input_price
        + usage.cache_read * read_price
        + usage.cache_write * write_price
        + usage.output * output_price
    )
    return -(-total // 1_000_000)


def worst_case(model: ModelInfo, request: Request, characters: int) -> Usage:
    """What a call may use at the most; the prompt counts as written to the cache where that is dearer."""
    asked, output = characters // CHARACTERS_PER_TOKEN + 1, request.max_output_tokens or model.output_tokens
    plain, cached = Usage(input=asked, output=output), Usage(input=asked, output=output, cache_write=asked)
    return max(plain, cached, key=lambda usage: cost(model, usage))


def cut_off(characters: int, said: int) -> Usage:
    """What an answer of which `said` characters came may have used: estimated, and rather too much than too little."""
    return Usage(input=characters // CHARACTERS_PER_TOKEN + 1, output=said + UNSEEN_TOKENS, estimated=True)


def believed(reply: Reply, model: ModelInfo, worst: Usage) -> Usage:
    """The usage that a service reports, if it can be; what is missing is estimated upward, and where it makes no sense
    the worst case stands."""
    usage, most = reply.usage, model.context_tokens + BEYOND_BELIEF * worst.input
    counts = (usage.input, usage.output, usage.cache_read, usage.cache_write, usage.thinking)
    cached = usage.cache_read + usage.cache_write
    if min(counts) < 0 or usage.input > most or cached > most or usage.output > BEYOND_BELIEF * worst.output:
        return msgspec.structs.replace(worst, estimated=True)
    if usage.input and usage.output:
        return usage
    output = usage.output or len(_ENCODER.encode(reply.message)) // CHARACTERS_PER_TOKEN + 1
    return msgspec.structs.replace(usage, input=usage.input or worst.input, output=output, estimated=True)
