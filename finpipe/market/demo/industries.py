"""The industries of the demo market: their labels, accounting habits and KOSPI 200 sector index."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Industry:
    """One industry as DART and KRX label it, with what its statements look like.

    Parameters
    ----------
    code, name
        Korean standard industry classification: three digits and name, as DART filings carry them.
    label
        Short label of the stock list (``stocks.current_sector_type``).
    index_sector
        Name of its KOSPI 200 sector index.
    suffix
        Ending of its companies' names.
    asset_turnover
        Median annual revenue over assets.
    gross_margin
        Median gross profit over revenue; 0 where the industry reports no gross profit.
    leverage
        Median liabilities over equity.
    inventories
        Median inventories over assets; 0 where the industry holds none.
    """

    code: str
    name: str
    label: str
    index_sector: str
    suffix: str
    asset_turnover: float
    gross_margin: float
    leverage: float
    inventories: float


INDUSTRIES: tuple[Industry, ...] = (
    Industry("261", "반도체 제조업", "반도체", "정보기술", "반도체", 0.75, 0.32, 0.60, 0.12),
    Industry("262", "전자부품 제조업", "전자부품", "정보기술", "전자", 0.90, 0.20, 0.80, 0.12),
    Industry(
        "582",
        "소프트웨어 개발 및 공급업",
        "소프트웨어",
        "커뮤니케이션서비스",
        "소프트",
        0.60,
        0.55,
        0.40,
        0.0,
    ),
    Industry("612", "전기 통신업", "통신", "커뮤니케이션서비스", "텔레콤", 0.60, 0.45, 1.10, 0.02),
    Industry("212", "의약품 제조업", "제약", "헬스케어", "제약", 0.55, 0.48, 0.50, 0.10),
    Industry("701", "자연과학 및 공학 연구개발업", "바이오", "헬스케어", "바이오", 0.30, 0.50, 0.35, 0.03),
    Industry("201", "기초 화학물질 제조업", "화학", "에너지/화학", "화학", 0.90, 0.16, 0.90, 0.14),
    Industry("192", "석유 정제품 제조업", "정유", "에너지/화학", "에너지", 1.30, 0.10, 1.30, 0.16),
    Industry("241", "1차 철강 제조업", "철강", "철강/소재", "철강", 1.00, 0.10, 0.80, 0.18),
    Industry("292", "특수 목적용 기계 제조업", "기계", "산업재", "기계", 0.80, 0.22, 0.90, 0.15),
    Industry("311", "선박 및 보트 건조업", "조선", "중공업", "중공업", 0.70, 0.08, 2.20, 0.10),
    Industry("303", "자동차 신품 부품 제조업", "자동차부품", "경기소비재", "모터스", 1.10, 0.14, 1.10, 0.11),
    Industry("471", "종합 소매업", "유통", "경기소비재", "유통", 1.10, 0.35, 1.20, 0.09),
    Industry("107", "기타 식품 제조업", "음식료", "생활소비재", "식품", 1.10, 0.24, 0.90, 0.12),
    Industry("412", "토목 건설업", "건설", "건설", "건설", 0.85, 0.11, 1.60, 0.06),
    Industry("649", "기타 금융업", "금융", "금융", "금융지주", 0.10, 0.0, 6.00, 0.0),
)
"""Every industry of the demo market; ``financial_periods.industry_name`` holds ``name``."""

INDEX_SECTORS: tuple[str, ...] = tuple(sorted({industry.index_sector for industry in INDUSTRIES}))
"""Names of the eleven KOSPI 200 sector indices, as in ``코스피 200 {name}``."""

NAME_STEMS: tuple[str, ...] = (
    *(
        "한빛",
        "대성",
        "미래",
        "동해",
        "서진",
        "청람",
        "금강",
        "백두",
        "한라",
        "태평",
        "세종",
        "가온",
        "누리",
        "다온",
    ),
    *(
        "라온",
        "마루",
        "바른",
        "새롬",
        "아람",
        "자람",
        "큰솔",
        "푸름",
        "하람",
        "고려",
        "신한결",
        "유니온",
        "코리아",
    ),
    *(
        "글로벌",
        "에이스",
        "제일",
        "삼양원",
        "동방",
        "남해",
        "북악",
        "중앙",
        "서울",
        "부산",
        "대구원",
        "광주",
        "인천",
    ),
    *(
        "성원",
        "우진",
        "명성",
        "영진",
        "경동원",
        "국제",
        "대한",
        "조흥원",
        "한일원",
        "일진원",
        "오성",
        "칠성원",
        "구봉",
    ),
    *("천마", "만도원", "해오름", "달빛", "별하", "나래", "도담", "온새미", "윤슬", "시나브로"),
)
"""First parts of company names; invented, so that no real company is meant."""
