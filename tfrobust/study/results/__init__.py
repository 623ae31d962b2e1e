"""What the cells of a study say: tables, figures, claims, pages."""
