"""Getting market data in: schemas, the KRX database, adjustment, the calendar and the demo market."""
