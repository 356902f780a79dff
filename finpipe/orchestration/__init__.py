"""Everything that touches Dagster; one module per Dagster concept."""

import warnings

import dagster as dg

# Data versions and multi-to-single mappings are what staleness rests on; Dagster calls both beta.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
