"""The technical features of the pandas side of the krx benchmark: a grouped rolling call per feature."""

from __future__ import annotations

import numpy as np
import pandas as pd


def technical_features(df: pd.DataFrame) -> pd.DataFrame:
    """Sort by stock and day and add every technical feature except the sector-relative ones.

    ``df`` has ``stock_code``, ``date``, ``open``, ``high``, ``low``, ``close``, ``volume`` (adjusted) and ``value``.
    """
    df = df.sort_values(["stock_code", "date"]).reset_index(drop=True)
    _momentum(df)
    _volume(df)
    _volatility(df)
    _intuition(df)
    _traditional(df)
    return df.drop(columns=_INTERMEDIATE)


_INTERMEDIATE = [
    *("log_return", "ma_5", "ma_20", "ma_60", "ma_120", "up_day", "vol_5d", "vol_20d", "value_20d"),
    *("close_location", "daily_mf", "tr", "atr_20", "high_52w", "low_52w", "bb_mid", "bb_std", "bb_upper"),
    *("bb_lower", "bb_width", "bb_width_avg"),
]


def _momentum(df: pd.DataFrame) -> None:
    grouped = df.groupby("stock_code")
    df["return"] = grouped["close"].pct_change(fill_method=None)
    df["log_return"] = np.log1p(df["return"])
    for period in (5, 20, 60, 120, 126):
        df[f"mom_{period}d"] = grouped["close"].pct_change(period, fill_method=None)
    df["intermediate_momentum"] = grouped["close"].shift(21) / grouped["close"].shift(126) - 1
    for period in (5, 20, 60, 120):
        df[f"ma_{period}"] = (
            grouped["close"].rolling(period, min_periods=period // 2).mean().reset_index(level=0, drop=True)
        )
        df[f"dist_ma_{period}"] = df["close"] / df[f"ma_{period}"].clip(lower=1) - 1
    df["ma_trend"] = 0.5 * (df["ma_5"] > df["ma_20"]) + 0.5 * (df["ma_20"] > df["ma_60"])
    for period in (20, 60):
        market = df.groupby("date")[f"mom_{period}d"].transform("median")
        df[f"rs_vs_market_{period}d"] = df[f"mom_{period}d"] - market
    df["up_day"] = (df["return"] > 0).astype(float)
    df["mom_consistency"] = (
        df.groupby("stock_code")["up_day"].rolling(20, min_periods=10).mean().reset_index(level=0, drop=True)
    )
    df["mom_acceleration"] = (df["mom_20d"] / df["mom_60d"].clip(lower=0.01).abs()).clip(-5, 5)
    df["rs_acceleration"] = (df["rs_vs_market_20d"] - df["rs_vs_market_60d"]).clip(-0.5, 0.5)


def _volume(df: pd.DataFrame) -> None:
    grouped = df.groupby("stock_code")
    df["vol_5d"] = grouped["volume"].rolling(5, min_periods=3).mean().reset_index(level=0, drop=True)
    df["vol_20d"] = grouped["volume"].rolling(20, min_periods=10).mean().reset_index(level=0, drop=True)
    df["vol_60d_max"] = grouped["volume"].rolling(60, min_periods=30).max().reset_index(level=0, drop=True)
    df["volume_surprise"] = df["volume"] / df["vol_20d"].clip(lower=1)
    df["volume_trend"] = df["vol_5d"] / df["vol_20d"].clip(lower=1)
    df["volume_breakout"] = df["volume"] / df["vol_60d_max"].clip(lower=1)
    df["value_20d"] = grouped["value"].rolling(20, min_periods=10).mean().reset_index(level=0, drop=True)
    df["value_surprise"] = df["value"] / df["value_20d"].clip(lower=1)
    df["close_location"] = (df["close"] - df["low"]) / (df["high"] - df["low"]).clip(lower=1)
    df["daily_mf"] = (2 * df["close_location"] - 1) * df["volume"]
    grouped = df.groupby("stock_code")
    flow = grouped["daily_mf"].rolling(20, min_periods=10).sum().reset_index(level=0, drop=True)
    volume = grouped["volume"].rolling(20, min_periods=10).sum().reset_index(level=0, drop=True)
    df["smart_money_flow"] = flow / volume.clip(lower=1)
    df["accumulation_index"] = (
        df.groupby("stock_code")["smart_money_flow"]
        .rolling(10, min_periods=5)
        .mean()
        .reset_index(level=0, drop=True)
    )
    surprise = (df["volume_surprise"] - 1).clip(0, 5)
    df["price_volume_synergy"] = (df["mom_5d"].clip(-0.3, 0.3) * surprise).clip(-1, 1)
    df["amihud_illiquidity"] = df["return"].abs() / (df["value"].clip(lower=1e6) / 1e9)
    df["amihud_illiquidity"] = (
        df.groupby("stock_code")["amihud_illiquidity"]
        .rolling(20, min_periods=10)
        .mean()
        .reset_index(level=0, drop=True)
    )
    df["amihud_rank"] = df.groupby("date")["amihud_illiquidity"].rank(pct=True)


def _volatility(df: pd.DataFrame) -> None:
    grouped = df.groupby("stock_code")
    for period in (20, 60):
        deviation = (
            grouped["return"].rolling(period, min_periods=period // 2).std().reset_index(level=0, drop=True)
        )
        df[f"volatility_{period}d"] = deviation * np.sqrt(252)
    df["volatility_ratio"] = df["volatility_20d"] / df["volatility_60d"].clip(lower=0.01)
    previous = grouped["close"].shift(1)
    ranges = [df["high"] - df["low"], (df["high"] - previous).abs(), (df["low"] - previous).abs()]
    df["tr"] = np.maximum(np.maximum(ranges[0], ranges[1]), ranges[2])
    df["atr_20"] = (
        df.groupby("stock_code")["tr"].rolling(20, min_periods=10).mean().reset_index(level=0, drop=True)
    )
    df["atr_ratio"] = df["tr"] / df["atr_20"].clip(lower=1)
    df["high_52w"] = grouped["high"].rolling(252, min_periods=126).max().reset_index(level=0, drop=True)
    df["low_52w"] = grouped["low"].rolling(252, min_periods=126).min().reset_index(level=0, drop=True)
    df["drawdown_from_high"] = df["close"] / df["high_52w"].clip(lower=1) - 1
    df["recovery_from_low"] = df["close"] / df["low_52w"].clip(lower=1) - 1


def _intuition(df: pd.DataFrame) -> None:
    df["past_glory_1y"] = df["high_52w"] / df["low_52w"].clip(lower=1) - 1
    df["max_drawdown_from_glory"] = df["drawdown_from_high"]
    glory, fall = df["past_glory_1y"], df["drawdown_from_high"]
    calm, quiet = df["volatility_ratio"] < 0.7, df["volume_trend"] < 0.8
    fallen = (glory > 1).astype(int) * ((fall > -0.5) & (fall < -0.3)).astype(int)
    df["fallen_angel_score"] = fallen * glory * -fall
    df["bounce_potential"] = df["fallen_angel_score"] * (1 + 0.3 * quiet) * (1 + 0.3 * calm)
    near = df["dist_ma_20"].abs() < 0.05
    df["vcp_score"] = calm.astype(int) * quiet.astype(int) * near.astype(int) * glory.clip(0, 2)
    surprise = df["volume_surprise"] - 1
    df["glory_correction_volume"] = glory.clip(0, 5) * (-fall).clip(0, 1) * surprise.clip(0, 10)
    wild = (df["volatility_20d"] > df["volatility_60d"]).astype(int)
    crowded, cheap = (df["volume_surprise"] > 2).astype(int), (fall < -0.2).astype(int)
    df["fear_greed_signal"] = wild * crowded * cheap * glory.clip(0, 3)
    df["smart_accumulation"] = (
        (df["smart_money_flow"] > 0.3).astype(int)
        * (df["accumulation_index"] + 1).clip(0, 2)
        * (-fall).clip(0, 0.5)
        * df["volume_trend"].clip(0.5, 2)
    )
    df["vcp_breakout_potential"] = df["vcp_score"].clip(0, 2) * (df["volume_trend"] - 0.8).clip(0, 2)


def _traditional(df: pd.DataFrame) -> None:
    grouped = df.groupby("stock_code")
    change = grouped["close"].diff()
    gain = change.where(change > 0, 0.0).groupby(df["stock_code"])
    loss = (-change.where(change < 0, 0.0)).groupby(df["stock_code"])
    gains = gain.rolling(14).mean().reset_index(level=0, drop=True)
    losses = loss.rolling(14).mean().reset_index(level=0, drop=True)
    df["rsi_14"] = 100 - 100 / (1 + gains / losses.clip(lower=0.001))
    df["rsi_divergence"] = ((df["close"] <= 1.05 * df["low_52w"]) & (df["rsi_14"] > 30)).astype(float)
    df["bb_mid"] = df["ma_20"]
    df["bb_std"] = grouped["close"].rolling(20, min_periods=10).std().reset_index(level=0, drop=True)
    df["bb_upper"] = df["bb_mid"] + 2 * df["bb_std"]
    df["bb_lower"] = df["bb_mid"] - 2 * df["bb_std"]
    span = df["bb_upper"] - df["bb_lower"]
    df["bb_position"] = (df["close"] - df["bb_lower"]) / span.clip(lower=1)
    df["bb_width"] = span / df["bb_mid"].clip(lower=1)
    df["bb_width_avg"] = (
        df.groupby("stock_code")["bb_width"]
        .rolling(60, min_periods=30)
        .mean()
        .reset_index(level=0, drop=True)
    )
    df["bb_squeeze"] = (df["bb_width"] < 0.8 * df["bb_width_avg"]).astype(float)
