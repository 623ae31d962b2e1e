"""What is made of the finished cells of a study: tables, figures, claims, pages."""
