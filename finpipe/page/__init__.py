"""Pages: self-contained HTML files of figures, charts and tables, whatever they are about."""
