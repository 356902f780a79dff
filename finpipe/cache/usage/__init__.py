"""What is asked for, learned from requests without knowing who asked, and fetched before it is asked for again."""
