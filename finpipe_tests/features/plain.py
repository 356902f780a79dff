"""The technical, beta and sector features written plainly in pandas, one grouped call per formula, in float64."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl

Series = pd.Series


def technical(rows: pl.DataFrame) -> pd.DataFrame:
    """Every technical feature of traded rows, sorted by stock and date."""
    frame = rows.to_pandas().astype({"stock_code": str})
    by_stock, by_date = frame["stock_code"], frame["date"]
    C, H, L = frame["adjusted_close"], frame["adjusted_high"], frame["adjusted_low"]
    V, A = frame["adjusted_volume"], frame["value"].astype(float)

    def lag(x: Series, rows: int) -> Series:
        return x.groupby(by_stock).shift(rows)

    def window(x: Series, how: str, size: int, least: int) -> Series:
        rolled = x.groupby(by_stock).rolling(size, min_periods=least)
        return getattr(rolled, how)().droplevel(0).reindex(x.index)

    def flag(condition: Series) -> Series:
        return condition.astype(float)

    def floor(x: Series, least: float) -> Series:
        return x.clip(lower=least)

    out = pd.DataFrame(index=frame.index)
    out["return"] = C / lag(C, 1) - 1
    for p in (5, 20, 60, 120, 126):
        out[f"mom_{p}d"] = C / lag(C, p) - 1
    out["intermediate_momentum"] = lag(C, 21) / lag(C, 126) - 1
    ma = {p: window(C, "mean", p, p // 2) for p in (5, 20, 60, 120)}
    for p, mean in ma.items():
        out[f"dist_ma_{p}"] = C / floor(mean, 1) - 1
    out["ma_trend"] = 0.5 * flag(ma[5] > ma[20]) + 0.5 * flag(ma[20] > ma[60])
    out["mom_consistency"] = window(flag(out["return"] > 0), "mean", 20, 10)
    out["mom_acceleration"] = (out["mom_20d"] / floor(out["mom_60d"], 0.01).abs()).clip(-5, 5)

    vol_20d = window(V, "mean", 20, 10)
    out["vol_60d_max"] = window(V, "max", 60, 30)
    out["volume_surprise"] = V / floor(vol_20d, 1)
    out["volume_trend"] = window(V, "mean", 5, 3) / floor(vol_20d, 1)
    out["volume_breakout"] = V / floor(out["vol_60d_max"], 1)
    out["value_surprise"] = A / floor(window(A, "mean", 20, 10), 1)
    location = ((C - L) / floor(H - L, 1)).mask(H == L, 0.5)
    out["smart_money_flow"] = window((2 * location - 1) * V, "sum", 20, 10) / floor(
        window(V, "sum", 20, 10), 1
    )
    out["accumulation_index"] = window(out["smart_money_flow"], "mean", 10, 5)
    synergy = out["mom_5d"].clip(-0.3, 0.3) * (out["volume_surprise"] - 1).clip(0, 5)
    out["price_volume_synergy"] = synergy.clip(-1, 1)
    out["amihud_illiquidity"] = window(out["return"].abs() / (floor(A, 1e6) / 1e9), "mean", 20, 10)

    v20 = window(out["return"], "std", 20, 10) * np.sqrt(252)
    v60 = window(out["return"], "std", 60, 30) * np.sqrt(252)
    out["volatility_20d"], out["volatility_60d"] = v20, v60
    vr = out["volatility_ratio"] = v20 / floor(v60, 0.01)
    tr = pd.concat([H - L, (H - lag(C, 1)).abs(), (L - lag(C, 1)).abs()], axis=1).max(axis=1, skipna=False)
    out["atr_ratio"] = tr / floor(window(tr, "mean", 20, 10), 1)
    high, low = window(H, "max", 252, 126), window(L, "min", 252, 126)
    dd = out["drawdown_from_high"] = C / floor(high, 1) - 1
    out["recovery_from_low"] = C / floor(low, 1) - 1
    gl = out["past_glory_1y"] = high / floor(low, 1) - 1
    out["max_drawdown_from_glory"] = dd

    vs, vt = out["volume_surprise"], out["volume_trend"]
    fa = flag(gl > 1) * flag((dd > -0.5) & (dd < -0.3)) * gl * -dd
    out["fallen_angel_score"] = fa
    out["bounce_potential"] = fa * (1 + 0.3 * flag(vt < 0.8)) * (1 + 0.3 * flag(vr < 0.7))
    near = flag(out["dist_ma_20"].abs() < 0.05)
    vcp = out["vcp_score"] = flag(vr < 0.7) * flag(vt < 0.8) * near * gl.clip(0, 2)
    out["glory_correction_volume"] = gl.clip(0, 5) * (-dd).clip(0, 1) * (vs - 1).clip(0, 10)
    out["fear_greed_signal"] = flag(v20 > v60) * flag(vs > 2) * flag(dd < -0.2) * gl.clip(0, 3)
    out["smart_accumulation"] = (
        flag(out["smart_money_flow"] > 0.3)
        * (out["accumulation_index"] + 1).clip(0, 2)
        * (-dd).clip(0, 0.5)
        * vt.clip(0.5, 2)
    )
    out["vcp_breakout_potential"] = lag(vcp, 1).clip(0, 2) * (vt - 0.8).clip(0, 2)

    change = (C - lag(C, 1)).fillna(0)
    gain, loss = window(change.clip(lower=0), "mean", 14, 14), window(-change.clip(upper=0), "mean", 14, 14)
    rsi = out["rsi_14"] = 100 - 100 / (1 + gain / floor(loss, 0.001))
    out["rsi_divergence"] = flag(low * 1.05 >= C) * flag(rsi > 30)
    sd = window(C, "std", 20, 10)
    upper, lower = ma[20] + 2 * sd, ma[20] - 2 * sd
    width = (upper - lower) / floor(ma[20], 1)
    out["bb_position"] = (C - lower) / floor(upper - lower, 1)
    out["bb_squeeze"] = flag(width < 0.8 * window(width, "mean", 60, 30))

    for p in (20, 60):
        momentum = out[f"mom_{p}d"]
        out[f"rs_vs_market_{p}d"] = momentum - momentum.groupby(by_date).transform("median")
    out["rs_acceleration"] = (out["rs_vs_market_20d"] - out["rs_vs_market_60d"]).clip(-0.5, 0.5)
    out["amihud_rank"] = out["amihud_illiquidity"].groupby(by_date).rank(pct=True)
    return out


def betas(rows: pl.DataFrame) -> pd.DataFrame:
    """Both betas of traded rows, from the complete pairs of every window."""
    frame = rows.to_pandas().astype({"stock_code": str})
    frame["return"] = frame.groupby("stock_code")["adjusted_close"].pct_change()
    frame["market"] = frame.groupby("date")["return"].transform("median")
    frame.loc[frame["return"].isna(), "market"] = np.nan
    out = pd.DataFrame(1.0, index=frame.index, columns=["rolling_beta", "rolling_beta_60d"])
    for _, stock in frame.groupby("stock_code"):
        for name, size, least in (("rolling_beta", 252, 60), ("rolling_beta_60d", 60, 30)):
            rolled = stock["market"].rolling(size, min_periods=least)
            beta = rolled.cov(stock["return"]) / rolled.var().clip(lower=1e-8)
            out.loc[stock.index, name] = beta.clip(-3, 3).fillna(1.0)
    return out


def sector(technical: pd.DataFrame, dates: Series, sectors: Series) -> pd.DataFrame:
    """Momentum relative to the rows of the same date and sector."""
    out = pd.DataFrame(index=technical.index)
    grouped = technical.groupby([dates, sectors])
    std = grouped["mom_20d"].transform("std")
    out["rs_vs_sector_20d"] = (technical["mom_20d"] - grouped["mom_20d"].transform("mean")) / std.clip(
        lower=0.01
    )
    for p in (5, 20, 60):
        out[f"mom_{p}d_sector_rank"] = grouped[f"mom_{p}d"].rank(pct=True)
    return out
