"""Names of the strategies that come along, apart from their code, which takes its time to import."""

SHIPPED = (
    "buy_and_hold",
    "equal_weight",
    "file_weights",
    "mean_reversion",
    "minimum_variance",
    "momentum",
    "moving_average_cross",
    "risk_parity",
)
