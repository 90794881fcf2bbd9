"""What is known of the models on Ark.

Prices are dollars at the rate of the day, from the vendor's list in yuan (volcengine.com/docs/82379/1544106). Where
they grow with the prompt's length, the highest stands here: a budget must not learn it afterwards. What Ark takes for
storing a session cache is not among them.
"""

from __future__ import annotations

from autohands.sdk.account import model_row

DEFAULT_MODEL = "doubao-seed-2-1-pro-260628"
PRICED = "2026-08-26"
WINDOW = 224_000
EFFORT_MODELS = ("doubao-seed-2", "doubao-seed-1-8", "doubao-seed-1-6-251015", "doubao-seed-1-6-lite")

MODELS = {
    info.name: info
    for info in (
        model_row("doubao-seed-2-1-pro", WINDOW, 65_536, 0.8906, 4.45301, 0.17812, priced=PRICED),
        model_row("doubao-seed-2-1-turbo", WINDOW, 65_536, 0.4453, 2.22651, 0.08906, priced=PRICED),
        model_row("doubao-seed-2-0-pro", WINDOW, 65_536, 1.42496, 7.12482, 0.28499, priced=PRICED),
        model_row("doubao-seed-2-0-code", WINDOW, 65_536, 1.42496, 7.12482, 0.28499, priced=PRICED),
        model_row("doubao-seed-2-0-lite", WINDOW, 65_536, 0.26718, 1.60308, 0.05344, priced=PRICED),
        model_row("doubao-seed-2-0-mini", WINDOW, 65_536, 0.11875, 1.18747, 0.02375, priced=PRICED),
        model_row("doubao-seed-1-8", WINDOW, 32_768, 0.35624, 3.56241, 0.02375, priced=PRICED),
        model_row("doubao-seed-1-6-flash", WINDOW, 32_768, 0.08906, 0.8906, 0.00445, priced=PRICED),
        model_row("doubao-seed-1-6", WINDOW, 32_768, 0.35624, 3.56241, 0.02375, priced=PRICED),
        model_row("doubao-seed-", WINDOW, 32_768, priced=PRICED),
        model_row("deepseek-", 96_000, 16_384, priced=PRICED),
        model_row("kimi-", 224_000, 16_384, priced=PRICED),
        model_row("glm-", 200_000, 16_384, priced=PRICED),
    )
}
