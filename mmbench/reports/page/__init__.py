"""One HTML file of a report: tables, figures, and a browser of samples."""
