"""Model features and the catalogue that declares every one of them."""
