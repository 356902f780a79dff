"""Where the two sides of the krx benchmark differ on purpose, and why."""

from __future__ import annotations

from finpipe_tests.benchmarks.comparison import Known

STEPS = (
    *("ma_trend", "mom_consistency", "amihud_rank", "mom_5d_sector_rank", "mom_20d_sector_rank"),
    *("mom_60d_sector_rank", "fallen_angel_score", "bounce_potential", "vcp_score", "fear_greed_signal"),
    *("rsi_divergence", "bb_squeeze"),
)
"""Features that jump where a comparison or an order of ranks turns."""


def known_differences(horizon: int) -> dict[str, Known]:
    """Return the columns that finpipe computes otherwise on purpose, and why."""
    flow = "a day with high = low has close_location 0 in the reference, 0.5 in finpipe"
    pairs = "finpipe uses complete pairs in both moments; seen while the window covers the stock's first row"
    window = "finpipe counts market days; differs where a halt, a gap or a delisting lies in the window"
    breadth = "an index without a level or a mean counts as below it in the reference, not at all in finpipe"
    labels = ("forward_return", "forward_alpha", "forward_residual")
    ranks = ("target_rank", "target_alpha_rank", "target_residual_rank", "target_sector_rank")
    steps = Known("a threshold or a tie, which rounding moves across: single rows", share=1e-4)
    return {
        **dict.fromkeys(STEPS, steps),
        **dict.fromkeys(("smart_money_flow", "accumulation_index", "smart_accumulation"), Known(flow)),
        **dict.fromkeys(("market_breadth", "market_breadth_change"), Known(breadth)),
        "vcp_breakout_potential": Known(
            "always 0 in the reference; finpipe multiplies yesterday's vcp_score"
        ),
        "equity": Known(
            "finpipe refuses orders at the price limit, pays out delisted stocks, and knows its costs"
        ),
        "bb_position": Known("the running variance of pandas loses digits after large prices", share=1e-3),
        **dict.fromkeys(("rolling_beta", "rolling_beta_60d"), Known(pairs)),
        **{f"{name}_{horizon}d": Known(window) for name in labels},
        **{f"{name}_{horizon}d": Known(f"{window}, and so for its peers") for name in ranks},
    }
